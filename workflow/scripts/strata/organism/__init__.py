"""The organism: a small GPT-2 trained on a corpus whose every fact, phrase and frequency is known."""
