"""`python -m globalworkspace`."""

import sys

from globalworkspace.cli import main

sys.exit(main())
