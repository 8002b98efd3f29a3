#include "daemon/store_report.hpp"

#include <doctest/doctest.h>

namespace mqd {
namespace {

TEST_CASE("store report: text in JSON") {
    CHECK(json_quoted("plain") == "\"plain\"");
    CHECK(json_quoted("a\"b\\c\n\x01") == R"("a\"b\\c\u000a\u0001")");
    CHECK(json_quoted("gr\xC3\xBC\xC3\x9F\xF0\x9F\x98\x80") ==
          "\"gr\xC3\xBC\xC3\x9F\xF0\x9F\x98\x80\"");
    CHECK(json_quoted("\xFFx\xC3") == R"("\ufffdx\ufffd")");
    CHECK(json_quoted("\xC0\xAF") == R"("\ufffd\ufffd")");            // overlong
    CHECK(json_quoted("\xED\xA0\x80") == R"("\ufffd\ufffd\ufffd")");  // a surrogate
}

core::StoreReport damaged_report() {
    core::StoreReport report;
    report.verdict = "B: fine";
    report.damaged = 3;
    core::StoreFinding finding;
    finding.kind = core::StoreFinding::Kind::page;
    finding.file = "segment-000001";
    finding.offset = 64;
    finding.queue = "q";
    finding.queue_id = QueueId(7);
    finding.range = {MessageNumber(5), 10};
    finding.messages = 4;
    finding.times = 2;
    finding.text = "wrong";
    report.findings.push_back(finding);
    report.notes.push_back({"x", "is no file of mqd"});
    return report;
}

TEST_CASE("store report: the fields of a finding have names that stay") {
    const std::string json = format_report_json(damaged_report(), "/d");
    CHECK(json.find(R"("findings":[{"kind":"page","file":"segment-000001","offset":64,"queue":"q",)"
                    R"("incarnation":7,"first":5,"last":14,"messages":4,"times":2,)"
                    R"("text":"wrong"}])") != std::string::npos);
    CHECK(json.find(R"("notes":[{"file":"x","text":"is no file of mqd"}])") != std::string::npos);
    CHECK(json.find(R"("store":"/d","sound":false)") != std::string::npos);
}

TEST_CASE("store report: the text counts what it does not show") {
    const std::string text = format_report(damaged_report(), "/d");
    CHECK(text.find("damage: wrong (and 1 more like it)\n... and 2 more\nnote: /d/x is no file") !=
          std::string::npos);
}

}  // namespace
}  // namespace mqd
