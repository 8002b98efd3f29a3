// mqctl status and ping: how the daemon is.

#include <array>
#include <cstdio>

#include <nlohmann/json.hpp>

#include "client/mqctl/commands.hpp"
#include "client/mqctl/table.hpp"

namespace mqd::mqctl {

ExitCode status(Session& session) {
    const auto items = session.client().status();
    if (!items) {
        return session.fail("asking for the status", items.error());
    }
    if (session.line().global.output == "json") {
        nlohmann::ordered_json line;
        line["server"] = session.client().server_name();
        line["url"] = session.url();
        for (const StatusItem& item : *items) {
            line[item.name] = item.value;
        }
        return session.print(line.dump() + '\n');
    }
    Table table({{"NAME"}, {"VALUE"}});
    table.add({"server", session.client().server_name()});
    table.add({"url", session.url()});
    for (const StatusItem& item : *items) {
        table.add({item.name, std::to_string(item.value)});
    }
    return session.print(table.text(false));
}

ExitCode ping(Session& session) {
    const auto time = session.client().ping();
    if (!time) {
        return session.fail("ping", time.error());
    }
    const double microseconds = static_cast<double>(time->count()) / 1000;
    if (session.line().global.output == "json") {
        nlohmann::ordered_json line;
        line["server"] = session.client().server_name();
        line["url"] = session.url();
        line["round_trip_us"] = microseconds;
        return session.print(line.dump() + '\n');
    }
    std::array<char, 32> number{};
    const int size = std::snprintf(number.data(), number.size(), "%.0f", microseconds);
    return session.print(session.client().server_name() + " at " + session.url() + " answered in " +
                         std::string(number.data(), static_cast<std::size_t>(size)) + " us\n");
}

}  // namespace mqd::mqctl
