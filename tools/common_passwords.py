"""Write the filter of common passwords that the program bundles, from the list of the zxcvbn package (MIT)."""

from pathlib import Path

from zxcvbn.frequency_lists import FREQUENCY_LISTS

from axisor.features.accounts.common_passwords import FILE, prefix_of


def main() -> None:
    prefixes = sorted({prefix_of(word.casefold()) for word in FREQUENCY_LISTS["passwords"]})
    Path(FILE).write_bytes(b"".join(prefixes))


if __name__ == "__main__":
    main()
