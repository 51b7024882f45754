"""What is for the workflow only: jobs, their dependencies, checks of the configuration."""
