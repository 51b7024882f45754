"""The lens: decoders, the engine that reads them out, and what is asked of the readouts.

``strata.lens(model, text)`` reads one text: `strata.notebook.lens`.
"""

import sys

from strata import CallablePackage

sys.modules[__name__].__class__ = CallablePackage
