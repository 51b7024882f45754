"""Causal tracing: corrupt a prompt's subject, restore one thing at a time, see what becomes of the answer.

``strata.trace(model, text, subject)`` traces one prompt: `strata.notebook.trace`.
"""

import sys

from strata import CallablePackage

sys.modules[__name__].__class__ = CallablePackage
