#!/usr/bin/env bash
# expect_caught.sh decides whether the simulation is worth anything, so it is shown every way in
# which a program can end, and must accept one of them alone.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0

# judge VERDICT WHAT: the program is standard input.
judge() {
    local verdict=$1 what=$2 found=caught
    cat >"$work/program"
    chmod +x "$work/program"
    "$here/expect_caught.sh" "$work/program" 10 >"$work/output" 2>&1 || found=missed
    if [ "$found" != "$verdict" ]; then
        echo "FAILED: $what: expected $verdict, got $found"
        failures=$((failures + 1))
    fi
}

judge caught "a broken invariant" <<'END'
#!/bin/sh
echo "INVARIANT VIOLATED: seed=7 turn=3: message 7 was confirmed and is lost"
echo "to replay it: $0 --seed 7"
exit 1
END
judge missed "a program that passes" <<'END'
#!/bin/sh
echo "mqd-sim: clean"
END
judge missed "a pass that mentions the words" <<'END'
#!/bin/sh
echo "INVARIANT VIOLATED"
echo "to replay it: $0 --seed 7"
END
judge missed "a failure of another kind" <<'END'
#!/bin/sh
echo "mqd-sim: something else"
echo "to replay it: $0 --seed 7"
exit 1
END
judge missed "a seed that nobody can replay" <<'END'
#!/bin/sh
echo "INVARIANT VIOLATED: seed=7 turn=3: message 7 was confirmed and is lost"
exit 1
END
judge missed "a replay that passes" <<'END'
#!/bin/sh
echo "INVARIANT VIOLATED: seed=7 turn=3: message 7 was confirmed and is lost"
echo "to replay it: $0 --seed 7"
[ "$*" = "--seed 7" ] || exit 1
END
judge missed "a replay that finds something else" <<'END'
#!/bin/sh
echo "INVARIANT VIOLATED: seed=7 turn=3: $*"
echo "to replay it: $0 --seed 7"
exit 1
END
judge missed "a signal after the words" <<'END'
#!/bin/sh
echo "INVARIANT VIOLATED: seed=7 turn=3: message 7 was confirmed and is lost"
echo "to replay it: $0 --seed 7"
kill -ABRT $$
END
judge missed "another exit status" <<'END'
#!/bin/sh
echo "INVARIANT VIOLATED: seed=7 turn=3: message 7 was confirmed and is lost"
echo "to replay it: $0 --seed 7"
exit 2
END
judge missed "a program that is not there" <<<'#!/does/not/exist'

[ "$failures" -eq 0 ] && echo "expect_caught.sh tells a finding from the rest"
