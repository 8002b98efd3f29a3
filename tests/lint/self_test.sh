#!/usr/bin/env bash
# Shows a lint small trees with one offence each, which it must reject for the stated reason, and a
# tree without, which it must accept. A lint that cannot fail proves nothing.
#
#     self_test.sh LINT
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
lint=$1
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
failures=0
expectations=0

# Starts a new tree whose only file is standard input; more files come by `add`.
tree() {
    rm -rf "${root:?}"/*
    cp "$here/../../.clang-format" "$here/../../.clang-tidy" "$root"
    add "$1"
}

# Adds a file, from standard input.
add() {
    mkdir -p "$root/$(dirname "$1")"
    cat >"$root/$1"
}

# Names every .cpp of the tree as one that is compiled.
compiled() {
    local file separator=""
    {
        echo "["
        while read -r file; do
            printf '%s{"directory": "%s", "file": "%s", "command": "g++ -std=c++20 -I%s -c %s"}\n' \
                "$separator" "$root" "$file" "$root" "$file"
            separator=,
        done < <(find "$root" -name '*.cpp')
        echo "]"
    } >"$root/compile_commands.json"
}

run_lint() {
    status=0
    output=$("$here/$lint.sh" "$root" "$root" 2>&1) || status=$?
    expectations=$((expectations + 1))
}

complain() {
    echo "FAILED: $lint: $1 (exit status $status)"
    printf '%s\n' "$output" | sed 's/^/    /'
    failures=$((failures + 1))
}

# The lint must exit 1 and say a text that matches.
rejects() {
    run_lint
    if [ "$status" -ne 1 ] || ! grep -Eq -- "$1" <<<"$output"; then
        complain "expected a finding like \"$1\""
    fi
}

accepts() {
    run_lint
    [ "$status" -eq 0 ] || complain "expected no finding"
}

case $lint in
    built)
        tree daemon/engine/queue.cpp <<<'int x;'
        compiled
        accepts
        add daemon/engine/forgotten.cpp <<<'int y;'
        rejects 'forgotten.cpp: no target'
        ;;

    coroutines)
        tree daemon/net/good.cpp <<'END'
asio::awaitable<void> good(std::vector<int> v, Timer t, char c) {
    // co_await f([x] { return 1; });
    auto token = [&v](int n) { return v[n] + 1'000; };
    auto done = co_await t.async_wait(token);
    if (co_await f(v[0], "[x]{", '{')) {
        Thing thing{co_await g()};
        auto [a, b] = co_await pair();
    }
    asio::co_spawn(t, []() -> asio::awaitable<void> { co_await h(); }, report);
    co_return;
}
END
        accepts
        tree daemon/net/lambda.cpp <<'END'
task f() {
    co_await g(1,
               [x] { return x; });
}
END
        rejects 'lambda.cpp:3: a lambda inside a co_await'
        tree tests/net/aggregate.cpp <<<'task f() { auto r = co_await g(Options{.size = 1}); }'
        rejects 'aggregate.cpp:1: a braced temporary'
        tree daemon/net/bare_braces.cpp <<<'task f() { co_await g(1, {2, 3}); }'
        rejects 'a braced temporary'
        tree client/capture.cpp <<'END'
void f() {
    co_spawn(ex, [self, this]() -> awaitable<void> {
        if (true) {
            co_return;
        }
    }, done);
}
END
        rejects 'capture.cpp:4: a lambda that captures is a coroutine'
        tree client/nested.cpp <<<'void f() { auto a = [] { auto b = [=]() -> task { co_yield 1; }; }; }'
        rejects 'a lambda that captures is a coroutine \(co_yield\)'
        ;;

    format)
        tree daemon/good.cpp <<<'int f() { return 1; }'
        sed -i 's/.*/int f();/' "$root/daemon/good.cpp"
        accepts
        tree tests/bad.cpp <<<'int   f( );'
        rejects 'bad.cpp:1:.*error'
        tree include/mqd/bad.hpp <<<'struct A { int* x; int *y; };'
        rejects 'bad.hpp:1:.*error'
        ;;

    layers)
        tree daemon/engine/queue.cpp <<'END'
#include "daemon/engine/queue.hpp"
#include <chrono>
#include <vector>
#include "mqd/types.hpp"
// never steady_clock::now() here
END
        add daemon/storage/posix_disk.cpp <<<'#include <fcntl.h>'
        add daemon/net/session.cpp <<<'#include <asio/ip/tcp.hpp>'
        accepts
        # Each line: a file and the #include or the code that it may not have.
        while IFS='|' read -r file text; do
            tree "$file" <<<"$text"
            rejects "^$file:1: "
        done <<'END'
include/mqd/expected.hpp|#include <tl/expected.hpp>
include/mqd/socket.hpp|#include <sys/socket.h>
include/mqd/net.hpp|#include "daemon/net/session.hpp"
daemon/engine/a.cpp|#include <asio.hpp>
daemon/engine/a.cpp|#include "daemon/storage/journal.hpp"
daemon/engine/a.cpp|#include <spdlog/spdlog.h>
daemon/engine/a.cpp|#include <thread>
daemon/engine/a.cpp|#include <random>
daemon/engine/a.cpp|  #  include <unistd.h>
daemon/engine/a.cpp|auto t = std::chrono::steady_clock::now();
daemon/engine/a.cpp|auto t = std::random_device{}();
daemon/storage/a.cpp|#include "daemon/engine/queue.hpp"
daemon/storage/a.cpp|#include <sys/socket.h>
daemon/storage/a.cpp|#include <spdlog/spdlog.h>
daemon/core/a.cpp|#include <asio/post.hpp>
daemon/core/a.cpp|#include <sys/socket.h>
daemon/core/a.cpp|#include "daemon/net/session.hpp"
daemon/core/a.cpp|auto t = Clock::now();
daemon/net/a.cpp|#include "daemon/config/config.hpp"
daemon/net/a.cpp|#include <toml++/toml.h>
daemon/config/a.cpp|#include "daemon/core/core.hpp"
daemon/config/a.cpp|#include <toml++/toml.h>
daemon/main.cpp|#include <asio.hpp>
daemon/main.cpp|#include <toml++/toml.h>
daemon/misc/a.cpp|int x;
client/a.cpp|#include "daemon/core/core.hpp"
client/a.cpp|#include <nlohmann/json.hpp>
client/mqctl/a.cpp|#include <asio.hpp>
bench/a.cpp|#include "daemon/engine/queue.hpp"
END
        ;;

    names)
        tree daemon/engine/queue.hpp <<<'#pragma once'
        accepts
        for file in daemon/utils.cpp client/string_utils.cpp daemon/common/queue.cpp \
            tests/support/helpers.cpp daemon/core/queue_manager.cpp; do
            tree "$file" <<<''
            rejects 'names nothing'
        done
        tree daemon/engine/Queue.cpp <<<''
        rejects 'lower case'
        tree daemon/engine/queue.hpp <<<'int x;'
        rejects 'no #pragma once'
        ;;

    shell)
        tree script/good <<'END'
#!/usr/bin/env bash
echo "$1"
END
        accepts
        tree script/bad <<'END'
#!/usr/bin/env bash
rm $1
END
        rejects 'script/bad:2:.*SC2086'
        tree tests/bad.sh <<'END'
#!/bin/sh
[[ $1 == x ]]
END
        rejects 'bad.sh:2:'
        ;;

    sizes)
        tree daemon/engine/fits.cpp < <(seq 600; printf '%0100d\n' 0 | sed 's/0/ä/g') || true
        sed -i 1d "$root/daemon/engine/fits.cpp"
        accepts
        tree daemon/engine/long.cpp < <(seq 601)
        rejects 'long.cpp: 601 lines'
        tree tests/wide.hpp < <(echo; printf '%0101d\n' 0)
        rejects 'wide.hpp:2: wider'
        ;;

    tidy)
        tree daemon/engine/queue.cpp <<'END'
namespace mqd {
int twice(int count) { return 2 * count; }
}  // namespace mqd
END
        compiled
        accepts
        tree daemon/engine/naming.cpp <<<'int TwiceOf(int count) { return 2 * count; }'
        compiled
        rejects 'invalid case style for function'
        tree client/moved.cpp <<'END'
#include <string>
#include <utility>
std::string twice(std::string text) {
    std::string other = std::move(text);
    return text + other;
}
END
        compiled
        rejects 'bugprone-use-after-move'
        tree bench/long.cpp < <(echo 'int count = 0;'; echo 'void f() {'
            for _ in $(seq 75); do echo '    ++count;'; done; echo '}')
        compiled
        rejects 'readability-function-size'
        add client/unknown.cpp <<<'int x;'
        rejects 'unknown.cpp: not in compile_commands'
        tree client/broken.cpp <<<'#include "not_there.hpp"'
        compiled
        rejects 'not_there.hpp'
        ;;

    *)
        echo "self_test.sh: no such lint: $lint" >&2
        exit 2
        ;;
esac

# A tree without files must not count as in order.
rm -rf "${root:?}"/*
run_lint
[ "$status" -ne 0 ] || complain "an empty tree was accepted"

echo "$lint: $expectations expectations, $failures failed"
[ "$failures" -eq 0 ]
