// --filter, --state, --older, --newer, --from and --rate: which messages a command is about.

#include <algorithm>
#include <array>
#include <string_view>

#include "client/mqctl/parser.hpp"
#include "client/mqctl/units.hpp"
#include "mqd/wire/peek_filter.hpp"

namespace mqd::mqctl {
namespace {

struct StateName {
    std::string_view name;
    MessageState state;
};
constexpr std::array state_names{
    StateName{"ready", MessageState::ready},     StateName{"leased", MessageState::leased},
    StateName{"delayed", MessageState::delayed}, StateName{"dying", MessageState::dying},
    StateName{"held", MessageState::held},       StateName{"purged", MessageState::purged}};

// "type=invoice". The value may be empty, and have any byte.
std::pair<std::string, std::string> parse_filter(const std::string& text) {
    const std::string place = "--filter \"" + text + "\": ";
    const std::size_t equals = text.find('=');
    if (equals == std::string::npos) {
        throw Mistake{place + "'=' is missing behind character " + std::to_string(text.size()) +
                      " (KEY=VALUE)"};
    }
    if (equals == 0) {
        throw Mistake{place + "the key is missing before character 1 (KEY=VALUE)"};
    }
    if (equals > UINT8_MAX || text.size() - equals - 1 > UINT16_MAX) {
        throw Mistake{place + "a key has at most 255 bytes, a value 65,535"};
    }
    return {text.substr(0, equals), text.substr(equals + 1)};
}

MessageState parse_state(const std::string& text) {
    const auto at = std::find_if(state_names.begin(), state_names.end(),
                                 [&](const StateName& state) { return state.name == text; });
    if (at == state_names.end()) {
        throw Mistake{"--state: \"" + text +
                      "\" is none of ready, leased, delayed, dying, held, "
                      "purged"};
    }
    return at->state;
}

}  // namespace

void Parser::add_selection_options(CLI::App& app) {
    app.add_option("--filter", filters_,
                   "Those with this header, KEY=VALUE (may be repeated: all of them)")
        ->allow_extra_args(false)
        ->type_name("FILTER");
    SelectionValues values;
    values.older = add_value(app, "--older", "DURATION", "Those published longer ago");
    values.newer = add_value(app, "--newer", "DURATION", "Those published since");
    selections_.push_back(values);
}

void Parser::read_selection() {
    SelectionOptions& selection = line_.selection;
    for (const std::string& filter : filters_) {
        selection.headers.push_back(parse_filter(filter));
    }
    if (filters_.size() > wire::filter_headers_max) {
        throw Mistake{"--filter: at most 16 of them"};
    }
    for (const std::string& state : states_) {
        selection.states.push_back(parse_state(state));
    }
    for (const SelectionValues& values : selections_) {
        if (given(values.older)) {
            selection.older = duration(values.older, {});
        }
        if (given(values.newer)) {
            selection.newer = duration(values.newer, {});
        }
    }
    if (selection.older && selection.newer && *selection.older >= *selection.newer) {
        throw Mistake{"--older must be less than --newer: what is older than " +
                      format_duration(*selection.older) + " and newer than " +
                      format_duration(*selection.newer) + " is nothing"};
    }
}

void Parser::read_peek() {
    line_.peek.count = number(peek_count_, line_.peek.count);
    if (!given(from_)) {
        return;
    }
    if (const auto text = from_->as<std::string>(); text.find(':') == std::string::npos) {
        line_.peek.from = message_number(from_, MessageNumber(1));
    } else {
        const MessageId id = message_ids({text}).front();
        if (id.queue != line_.queue) {
            throw Mistake{"--from: \"" + text + "\" is a message of queue \"" + id.queue +
                          "\", not of \"" + line_.queue + '"'};
        }
        line_.peek.from = id.number;
        line_.peek.incarnation = id.incarnation;
    }
}

void Parser::read_move() {
    if (given(move_count_)) {
        line_.move.count = number(move_count_, 1);
    }
    if (given(rate_)) {
        const Rate said = rate(rate_);
        line_.move.per_second =
            static_cast<double>(said.count) / static_cast<double>(said.per.count());
    }
}

}  // namespace mqd::mqctl
