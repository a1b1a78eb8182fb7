"""What runs beside the student's code. Nothing in this folder is secret: the child can read it."""
