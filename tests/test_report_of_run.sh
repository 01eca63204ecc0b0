#!/usr/bin/env bash
# The report of a real run, opened in a headless Chromium: its cases, claims and maps are those of the results inside it.
set -euo pipefail
exec python3 tests/test_report.py --convbn "$CONVBN" --arguments 'run cases -q -k "document or same or batchnorm2d"'
