"""What runs beside the student's code. Nothing in this folder is secret: the worker can read it."""
