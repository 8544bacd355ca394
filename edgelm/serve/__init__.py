"""`edgelm serve`: one model behind OpenAI's HTTP interface."""
