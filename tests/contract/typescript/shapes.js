// Compares values with the types that the SDK's own declarations give them, read by the TypeScript compiler.
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'

const HERE = path.dirname(fileURLToPath(import.meta.url))
const ISO = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/** The declarations of the SDK, and of the scripts here that call it. */
export class Shapes {
  #program
  #checker
  #contract

  /** @param {string[]} scripts their calls are compiled against the declarations as well */
  constructor(scripts) {
    const contract = path.join(HERE, 'contract.d.ts')
    this.#program = ts.createProgram([contract, ...scripts.map((name) => path.join(HERE, name))], {
      allowJs: true,
      checkJs: true,
      lib: ['lib.es2023.d.ts', 'lib.dom.d.ts', 'lib.dom.iterable.d.ts'],
      module: ts.ModuleKind.NodeNext,
      moduleResolution: ts.ModuleResolutionKind.NodeNext,
      noEmit: true,
      skipLibCheck: true,
      strict: true,
      target: ts.ScriptTarget.ES2023,
      types: ['node'],
    })
    this.#checker = this.#program.getTypeChecker()
    const file = this.#program.getSourceFile(contract)
    const module = file && this.#checker.getSymbolAtLocation(file)
    const found = module && this.#checker.getExportsOfModule(module).find((symbol) => symbol.name === 'Contract')
    if (found === undefined) {
      throw new Error('contract.d.ts does not declare Contract')
    }
    this.#contract = this.#checker.getDeclaredTypeOfSymbol(found)
  }

  /** Where the scripts and the declarations do not fit each other. */
  mistakes() {
    return ts
      .getPreEmitDiagnostics(this.#program)
      .map((found) => `${found.file?.fileName}: ${ts.flattenDiagnosticMessageText(found.messageText, '\n')}`)
  }

  /**
   * The paths of everything that can be called below a member of the contract.
   * @param {string} from
   * @returns {string[]}
   */
  calls(from) {
    const type = this.#typeAt(from)
    if (type.getCallSignatures().length > 0) {
      return [from]
    }
    return type.getProperties().flatMap((member) => this.calls(`${from}.${member.name}`))
  }

  /** The names of the members at a path. @param {string} at */
  members(at) {
    return this.#typeAt(at).getProperties().map((member) => member.name)
  }

  /**
   * How an answer differs from the type that a call promises.
   * @param {string} call its path, such as `rest.futures.getTicker`
   * @param {unknown} answer
   */
  problemsOfAnswer(call, answer) {
    const [signature] = this.#typeAt(call).getCallSignatures()
    const promised = signature && this.#checker.getAwaitedType(signature.getReturnType())
    if (promised === undefined) {
      throw new Error(`${call} cannot be called`)
    }
    return this.#problems(promised, answer, call)
  }

  /**
   * How a value differs from the type of a member of the contract.
   * @param {string} member the members of its path, as topics contain slashes and no dots
   * @param {unknown} value
   */
  problemsOfValue(member, value) {
    return this.#problems(this.#typeAt(member), value, member)
  }

  /** @param {string} at */
  #typeAt(at) {
    let type = this.#contract
    for (const name of at.split('.')) {
      const member = this.#checker.getPropertyOfType(type, name)
      if (member === undefined) {
        throw new Error(`the SDK declares no ${at}`)
      }
      type = this.#checker.getTypeOfSymbol(member)
    }
    return type
  }

  /**
   * @param {ts.Type} type
   * @param {unknown} value
   * @param {string} at
   * @returns {string[]}
   */
  #problems(type, value, at) {
    const is = (/** @type {ts.TypeFlags} */ flags) => (type.flags & flags) !== 0
    const unless = (/** @type {boolean} */ fits) =>
      fits ? [] : [`${at} is ${JSON.stringify(value)}, promised is ${this.#checker.typeToString(type)}`]
    if (is(ts.TypeFlags.Any | ts.TypeFlags.Unknown | ts.TypeFlags.Void)) {
      return []
    }
    if (type.isUnion()) {
      const attempts = type.types.map((member) => this.#problems(member, value, at))
      return attempts.reduce((least, found) => (found.length < least.length ? found : least))
    }
    if (type.isStringLiteral() || type.isNumberLiteral()) {
      return unless(value === type.value)
    }
    if (is(ts.TypeFlags.BooleanLiteral)) {
      return unless(String(value) === this.#checker.typeToString(type))
    }
    if (is(ts.TypeFlags.String)) {
      return typeof value === 'string' ? formProblems(value, at) : unless(false)
    }
    if (is(ts.TypeFlags.Number)) {
      return unless(Number.isFinite(value))
    }
    if (is(ts.TypeFlags.Null)) {
      return unless(value === null)
    }
    if (is(ts.TypeFlags.Undefined)) {
      return unless(value === undefined)
    }
    if (this.#checker.isArrayType(type)) {
      const [item] = this.#checker.getTypeArguments(/** @type {ts.TypeReference} */ (type))
      if (!Array.isArray(value) || item === undefined) {
        return unless(false)
      }
      return value.flatMap((member, index) => this.#problems(item, member, `${at}[${index}]`))
    }
    if (is(ts.TypeFlags.Object | ts.TypeFlags.Intersection) && type.getCallSignatures().length === 0) {
      return this.#memberProblems(type, value, at) ?? unless(false)
    }
    throw new Error(`cannot judge ${at}: ${this.#checker.typeToString(type)}`)
  }

  /**
   * @param {ts.Type} type
   * @param {unknown} value
   * @param {string} at
   */
  #memberProblems(type, value, at) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      return undefined
    }
    const members = new Map(Object.entries(value))
    return type.getProperties().flatMap((member) => {
      const where = `${at}.${member.name}`
      if (member.name === 'filledAt' && members.get('running') === true) {
        // The declaration of a running trade says null here; one that was filled has a time, as live tests assert.
        return formProblems(String(members.get('filledAt')), where)
      }
      if (members.has(member.name)) {
        return this.#problems(this.#checker.getTypeOfSymbol(member), members.get(member.name), where)
      }
      return member.flags & ts.SymbolFlags.Optional ? [] : [`${where} is missing`]
    })
  }
}

/**
 * The declarations say `string`; the exchange's forms of times and ids are known all the same.
 * @param {string} value
 * @param {string} at
 */
function formProblems(value, at) {
  const name = at.slice(at.lastIndexOf('.') + 1)
  if (/^(time|\w+At|fundingTime)$/.test(name) && !ISO.test(value)) {
    return [`${at} is ${JSON.stringify(value)}: no ISO time with milliseconds`]
  }
  if (/^(id|uid|depositId|tradeId|settlementId|fromUid|toUid|userId)$/.test(name) && !UUID.test(value)) {
    return [`${at} is ${JSON.stringify(value)}: no UUID`]
  }
  return []
}
