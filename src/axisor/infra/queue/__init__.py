"""Job queues: BullMQ behind the `JobQueue` port, hardened in one place."""
