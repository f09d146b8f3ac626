#!/bin/sh
# embed.sh -- turns the kernels into C:  sh src/embed.sh CLDIR > sources.c
#
# Each CLDIR/NAME.cl becomes one entry of ca_sources[] (src/runtime/program.h).
# #include "piece" is resolved relative to CLDIR, each file once in a text; #include <...>
# stays.  #line directives let compiler logs name the file and line that a person edits.
# The texts are arrays of bytes, since compilers limit the length of string literals.
set -eu
if [ $# -ne 1 ] || [ ! -d "$1" ]; then
    echo "usage: sh embed.sh CLDIR > sources.c" >&2
    exit 2
fi
cd "$1"
LC_ALL=C
export LC_ALL
set -- *.cl
[ -e "$1" ] || set --

awk '
function fail(words) { print "embed.sh: " words > "/dev/stderr"; failed = 1; exit 1 }

function emit(line) { text = text line "\n" }

# Appends FILE to the text; the parameters behind it are local variables.
function resolve(file,    line, n, got, piece, expanded) {
    seen[file] = 1
    emit("#line 1 \"" file "\"")
    n = 0
    while ((got = (getline line < file)) > 0) {
        n++
        sub(/\r$/, "", line)
        if (line ~ /^[ \t]*#[ \t]*include[ \t]*"/) {
            piece = line
            sub(/^[^"]*"/, "", piece)
            sub(/".*$/, "", piece)
            if (piece in seen) { emit(""); continue }
            resolve(piece)
            expanded = 1
            emit("#line " n + 1 " \"" file "\"")
        } else {
            emit(line)
            # A compiler that skips a branch also skips the #line in it: say it again behind.
            if (expanded && line ~ /^[ \t]*#[ \t]*(else|elif|endif)/ && line !~ /\\$/)
                emit("#line " n + 1 " \"" file "\"")
        }
    }
    if (got < 0) fail("cannot read " file)
    close(file)
}

function print_bytes(    i, n, row) {
    n = length(text)
    row = ""
    for (i = 1; i <= n; i++) {
        row = row code[substr(text, i, 1)] ","
        if (i % 28 == 0) { print row; row = "" }
    }
    print row "0"
}

BEGIN {
    for (i = 1; i < 256; i++) code[sprintf("%c", i)] = i > 127 ? i - 256 : i
    print "/* Made by src/embed.sh from the kernels; do not edit. */"
    print "#include \"runtime/program.h\""
    for (a = 1; a < ARGC; a++) {
        name = ARGV[a]
        sub(/\.cl$/, "", name)
        if (name !~ /^[A-Za-z_][A-Za-z0-9_]*$/) fail(ARGV[a] ": the name must be a C identifier")
        text = ""
        split("", seen)
        resolve(ARGV[a])
        print "\nstatic const char text_" name "[] = {"
        print_bytes()
        print "};"
        list = list "    { \"" name "\", text_" name ", sizeof text_" name " - 1 },\n"
    }
    print "\nconst struct ca_source ca_sources[] = {\n" list "    { NULL, NULL, 0 }\n};"
    exit
}
END { exit failed }
' "$@"
