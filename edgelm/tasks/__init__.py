"""What a task is: labelled files described by one YAML in `corpus/tasks/`."""
