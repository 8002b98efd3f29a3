#include "client/mqctl/json_report.hpp"

#include <string>

#include <nlohmann/json.hpp>

namespace mqd::mqctl {

ExitCode report_json(Session& session, ExitCode exit, std::initializer_list<ReportField> fields) {
    if (session.line().global.output != "json") {
        return exit;
    }
    nlohmann::ordered_json object;
    for (const ReportField& field : fields) {
        std::visit([&](const auto& value) { object[std::string(field.name)] = value; },
                   field.value);
    }
    const ExitCode written = session.print(object.dump() + '\n');
    return exit == ExitCode::done ? written : exit;
}

}  // namespace mqd::mqctl
