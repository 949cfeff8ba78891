"""What people see of a run: table, progress line, log, summary and plots."""
