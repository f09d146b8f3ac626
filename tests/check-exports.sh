#!/bin/sh
# check-exports.sh -- the library exports what tests/exports.txt lists, which is what the header and the version
# script say, and nothing else.
srcdir=${srcdir:-.}
so=${1:-.libs/libclattn.so}
want=$srcdir/tests/exports.txt
fail=0

if ! command -v nm > /dev/null; then echo "nm is missing"; exit 77; fi
if [ ! -e "$so" ]; then echo "$so is missing"; exit 1; fi
compare() { # WHAT: names on standard input
    LC_ALL=C sort -u | diff "$want" - || { echo "$1 differs from $want"; fail=1; }
}
nm -D --defined-only "$so" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | compare "$so"
sed -n 's/^    \(clattn_[a-z0-9_]*\);$/\1/p' "$srcdir/src/clattn.map" | compare src/clattn.map
grep '^CLATTN_API' "$srcdir/include/clattn.h" | sed 's/.*[ *]\(clattn_[a-z0-9_]*\)(.*/\1/' | compare include/clattn.h
exit $fail
