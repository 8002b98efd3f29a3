# The rules of layers.sh. A layer is a folder; what it may include is a list of patterns, matched
# against the text between the brackets or quotes of the #include line.

BEGIN {
    # The standard library: no folder, no extension.
    std = "^[a-z0-9_]+$"
    contract = "^mqd/"

    allow("include", std " " contract)
    allow("engine", std " " contract " ^daemon/engine/")
    allow("storage", std " " contract " ^daemon/storage/ ^(fcntl|unistd|dirent|errno|poll|pthread|sched)[.]h$" \
          " ^sys/(file|mman|stat|statvfs|syscall|types|uio|ioctl|eventfd|vfs|prctl)[.]h$" \
          " ^linux/ ^[a-z0-9]*intrin[.]h$ ^isa-l")
    allow("core", std " " contract " ^daemon/(engine|storage|core)/")
    allow("net", std " " contract " ^daemon/(engine|storage|core|net)/ ^asio ^openssl/ ^spdlog/ ^fmt/" \
          " ^[a-z]+[.]h$ ^(sys|netinet|arpa|linux)/")
    # Of the other layers, only what these two say in plain values.
    allow("config", std " " contract " ^daemon/config/ ^daemon/core/on_damage[.]hpp$" \
          " ^daemon/engine/queue_definition[.]hpp$ ^toml[+][+]/ ^[a-z]+[.]h$ ^(sys|netinet|arpa)/")
    allow("daemon", std " " contract " ^daemon/ ^spdlog/ ^fmt/ ^systemd/ ^[a-z]+[.]h$" \
          " ^(sys|linux|netinet|arpa)/")
    allow("client", std " " contract " ^client/[a-z0-9_]+[.]hpp$ ^asio ^openssl/ ^[a-z]+[.]h$" \
          " ^(sys|linux|netinet|arpa)/")
    allow("mqctl", std " " contract " ^client/ ^daemon/config/ ^CLI/ ^nlohmann/ ^[a-z]+[.]h$ ^(sys|linux)/")
    allow("bench", std " " contract " ^client/[a-z0-9_]+[.]hpp$ ^bench/ ^daemon/storage/ ^[a-z]+[.]h$" \
          " ^(sys|linux|netinet)/")

    # Taken back from the standard library.
    deny("engine", "^(atomic|barrier|condition_variable|cstdio|ctime|filesystem|fstream|future" \
         "|iostream|latch|mutex|random|semaphore|shared_mutex|stop_token|syncstream|thread)$")
    deny("core", "^(ctime|filesystem|fstream|iostream|random)$")

    # Words that a layer may not use at all.
    clock = "(::now *[(]|clock_gettime|gettimeofday|std::time *[(])"
    ban("engine", clock, "the engine is told the time")
    ban("engine", "(getenv|[^a-z_]rand *[(]|random_device|mt19937|std::this_thread)",
        "the engine has no surroundings")
    ban("core", clock, "core has no clock of its own")
    ban("core", "([^a-z_]socket *[(]|::recv *[(]|::send *[(])", "core knows no sockets")
}

function allow(layer, patterns) { allowed[layer] = patterns }
function deny(layer, pattern) { denied[layer] = pattern }
function ban(layer, pattern, why) {
    bans[layer]++
    ban_pattern[layer, bans[layer]] = pattern
    ban_reason[layer, bans[layer]] = why
}

function layer_of(path) {
    if (path ~ /^include\//) return "include"
    if (path ~ /^daemon\/[^\/]+$/) return "daemon"
    if (path ~ /^client\/mqctl\//) return "mqctl"
    if (path ~ /^client\//) return "client"
    if (path ~ /^bench\//) return "bench"
    if (split(path, part, "/") >= 3 && part[1] == "daemon") return part[2]
    return ""
}

function report(what) { printf "%s:%d: %s\n", FILENAME, FNR, what }

function may_include(layer, header,    n, i, pattern) {
    if ((layer in denied) && header ~ denied[layer]) return 0
    n = split(allowed[layer], pattern, " ")
    for (i = 1; i <= n; i++) {
        if (header ~ pattern[i]) return 1
    }
    return 0
}

FNR == 1 {
    layer = layer_of(FILENAME)
    if (!(layer in allowed)) report("a folder that the layers do not know: " layer)
}

/^[ \t]*#[ \t]*include[ \t]*[<"]/ {
    header = $0
    sub(/^[ \t]*#[ \t]*include[ \t]*[<"]/, "", header)
    sub(/[>"].*$/, "", header)
    if (!may_include(layer, header)) report(layer " may not include " header)
    if (header ~ /^toml/ && FILENAME != "daemon/config/toml.hpp") report("toml++ belongs into daemon/config/toml.hpp alone")
    next
}

{
    text = $0
    sub(/\/\/.*$/, "", text)
    for (i = 1; i <= bans[layer]; i++) {
        if (text ~ ban_pattern[layer, i]) report(ban_reason[layer, i] ": " text)
    }
}
