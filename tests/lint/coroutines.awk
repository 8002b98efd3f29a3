# The rules of coroutines.sh, on C++ read character by character with comments, strings and
# character literals taken out.
#
#   1. Between `co_await` and the end of its expression: no lambda and no braced temporary.
#   2. No co_await, co_return or co_yield whose innermost lambda captures something.

function report(line, what) { printf "%s:%d: %s\n", path, line, what }

# The code of a file, `text`, with comments and literals blanked; line ends stay.
function strip(text,    out, n, i, c, two, end, mark) {
    out = ""
    n = length(text)
    for (i = 1; i <= n; i++) {
        c = substr(text, i, 1)
        two = substr(text, i, 2)
        if (two == "//") {
            while (i <= n && substr(text, i, 1) != "\n") i++
            out = out "\n"
        } else if (two == "/*") {
            for (i += 2; i <= n && substr(text, i, 2) != "*/"; i++)
                if (substr(text, i, 1) == "\n") out = out "\n"
            i++
        } else if (two == "R\"" && substr(text, i - 1, 1) !~ /[A-Za-z0-9_]/) {
            mark = substr(text, i + 2, index(substr(text, i + 2), "(") - 1)
            end = index(substr(text, i), ")" mark "\"")
            c = substr(text, i, end + length(mark) + 1)
            gsub(/[^\n]/, "", c)
            out = out "\"\"" c
            i += end + length(mark)
        } else if (c == "\"" || (c == "'" && substr(text, i - 1, 1) !~ /[0-9A-Fa-f]/)) {
            mark = c
            for (i++; i <= n && substr(text, i, 1) != mark; i++)
                if (substr(text, i, 1) == "\\") i++
            out = out mark mark
        } else {
            out = out c
        }
    }
    return out
}

function check(text,    n, i, c, line, word, last, depth, braces, kind, awaiting, await_depth,
               await_line, pending, pending_depth, captures, j, k, level) {
    n = length(text)
    line = 1
    last = ""          # the last character that is not blank
    depth = 0          # of ( [ {
    braces = 0         # open braces; kind[1..braces]: "" or "plain" or "capturing" (lambdas)
    awaiting = 0
    pending = ""       # a lambda whose body has not opened yet
    for (i = 1; i <= n; i++) {
        c = substr(text, i, 1)
        if (c == "\n") { line++; continue }
        if (c ~ /[ \t\r]/) continue
        if (c ~ /[A-Za-z_]/) {
            match(substr(text, i), /^[A-Za-z0-9_]+/)
            word = substr(text, i, RLENGTH)
            i += RLENGTH - 1
            last = "w"
            if (word ~ /^co_(await|return|yield)$/) {
                level = innermost_lambda(kind, braces)
                if (level == "capturing") report(line, "a lambda that captures is a coroutine (" word ")")
                if (word == "co_await" && !awaiting) {
                    awaiting = 1
                    await_depth = depth
                    await_line = line
                }
                last = "k"
            } else if (word ~ /^(return|case|else|throw)$/) {
                last = "k"
            }
            continue
        }
        if (c == "[") {
            if (substr(text, i + 1, 1) == "[") {          # an attribute
                j = index(substr(text, i), "]]")
                i += j
                last = ";"
                continue
            }
            if (last !~ /[w\])]/ || last == "k") {        # not an index: a lambda
                j = matching(text, i)
                captures = substr(text, i + 1, j - i - 1)
                pending = captures ~ /[^ \t\n]/ ? "capturing" : "plain"
                pending_depth = depth
                if (awaiting) report(line, "a lambda inside a co_await expression: name it first")
                for (k = i; k < j; k++) if (substr(text, k, 1) == "\n") line++
                i = j
                last = "]"
                continue
            }
        }
        if (c ~ /[(\[{]/) {
            if (c == "{") {
                braces++
                kind[braces] = ""
                if (pending != "" && depth == pending_depth) {
                    kind[braces] = pending
                    pending = ""
                } else if (awaiting) {
                    report(line, "a braced temporary inside a co_await expression: name it first")
                }
            }
            depth++
        } else if (c ~ /[)\]}]/) {
            if (c == "}" && braces > 0) braces--
            if (depth > 0) depth--
            if (awaiting && depth < await_depth) awaiting = 0
            if (pending != "" && depth < pending_depth) pending = ""
        } else if (c == ";") {
            if (awaiting && depth <= await_depth) awaiting = 0
            if (pending != "" && depth <= pending_depth) pending = ""
        } else if (c == "," && awaiting && depth == await_depth) {
            awaiting = 0
        }
        last = c
    }
}

function innermost_lambda(kind, braces,    b) {
    for (b = braces; b > 0; b--) if (kind[b] != "") return kind[b]
    return ""
}

# Where the bracket at `from` closes.
function matching(text, from,    i, open, c) {
    open = 0
    for (i = from; i <= length(text); i++) {
        c = substr(text, i, 1)
        if (c ~ /[(\[{]/) open++
        if (c ~ /[)\]}]/ && --open == 0) return i
    }
    return length(text)
}

function flush_file() {
    if (path != "" && content ~ /co_(await|return|yield)/) check(strip(content))
    content = ""
}

FNR == 1 { flush_file(); path = FILENAME }
{ content = content $0 "\n" }
END { flush_file() }
