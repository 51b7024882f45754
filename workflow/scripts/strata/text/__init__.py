"""Text: prompts, documents, tagged sentences, and how tokens are written."""
