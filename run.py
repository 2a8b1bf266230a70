#!/usr/bin/env python3
"""The BIDS-App: ``python run.py BIDS_DIR OUT_DIR participant``. The same as ``pvs``."""

import sys

from pvs_bidsapp.cli.main import main

if __name__ == '__main__':
    sys.exit(main())
