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
    "$here/expect_caught.sh" "$work/program" '*' >"$work/output" 2>&1 || found=missed
    if [ "$found" != "$verdict" ]; then
        echo "FAILED: $what: expected $verdict, got $found"
        failures=$((failures + 1))
    fi
}

judge caught "a broken invariant" <<'END'
#!/bin/sh
echo "ERROR: INVARIANT VIOLATED: message 7 was confirmed and is lost"
echo "[doctest] test cases:  1 |  0 passed | 1 failed | 3 skipped"
exit 1
END
judge missed "a program that passes" <<'END'
#!/bin/sh
echo "[doctest] test cases:  1 |  1 passed | 0 failed | 3 skipped"
END
judge missed "a pass that mentions the words" <<'END'
#!/bin/sh
echo "INVARIANT VIOLATED"
END
judge missed "a failure of another kind" <<'END'
#!/bin/sh
echo "ERROR: CHECK( 1 == 2 ) is NOT correct!"
exit 1
END
judge missed "no test case at all" <<'END'
#!/bin/sh
echo "INVARIANT VIOLATED"
echo "[doctest] test cases:  0 |  0 passed | 0 failed | 3 skipped"
exit 1
END
judge missed "a signal after the words" <<'END'
#!/bin/sh
echo "INVARIANT VIOLATED"
kill -ABRT $$
END
judge missed "a crash that doctest caught" <<'END'
#!/bin/sh
echo "INVARIANT VIOLATED"
echo "FATAL ERROR: test case CRASHED: SIGSEGV - Segmentation violation signal"
exit 1
END
judge missed "another exit status" <<'END'
#!/bin/sh
echo "INVARIANT VIOLATED"
exit 2
END
judge missed "a program that is not there" <<<'#!/does/not/exist'

[ "$failures" -eq 0 ] && echo "expect_caught.sh tells a finding from the rest"
