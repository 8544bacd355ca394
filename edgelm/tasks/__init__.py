"""What a task is: labelled data described by one YAML in `corpus/tasks/`; one file for each family."""
