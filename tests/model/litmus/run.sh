#!/bin/sh
# Run herd7 over all litmus tests here; exit 1 if one says otherwise than its file.
cd "$(dirname "$0")" || exit 1
command -v herd7 >/dev/null || { echo "not found: herd7"; exit 1; }
bad=0
for file in *.litmus; do
  expected=$(sed -n 's/.*Verdict: \([A-Za-z]*\)".*/\1/p' "$file")
  found=$(herd7 "$file" | sed -n 's/^Observation [^ ]* \([A-Za-z]*\) .*/\1/p')
  echo "$file: ${found:-no verdict}"
  [ "$found" = "$expected" ] || { echo "  EXPECTED: $expected"; bad=1; }
done
exit $bad
