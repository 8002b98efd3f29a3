// Backups amid traffic, with everything in any order: each copy is judged by what was confirmed and
// what had ended when it was asked for.

#include <map>

#include "core/backup_fixture.hpp"
#include "mqd/wire/backup.hpp"
#include "support/sanitized.hpp"

namespace mqd::core::test {
namespace {

using mqd::test::Dice;
using mqd::test::SimSchedule;

// A producer and a consumer of one queue on one connection, and what became of each line.
struct Traffic {
    struct Line {
        std::string body;
        bool confirmed = false;
        bool acked = false;    // sent
        bool settled = false;  // and durable
        std::uint64_t number = 0;
    };

    Traffic(WireClient& its_client, Dice& its_dice) : client(its_client), dice(its_dice) {}

    void step() {
        if (dice.one_in(2)) {
            publish();
        } else {
            ack();
        }
        look();
    }
    void publish() {
        std::vector<std::string> bodies;
        const std::uint64_t first = lines.size() + 1;
        for (std::uint64_t n = dice.between(1, 4); n > 0; --n) {
            const std::uint64_t size = dice.one_in(6) ? dice.below(4'000) : dice.below(300);
            bodies.push_back(std::to_string(lines.size() + 1) + ':' + std::string(size, 'x'));
            lines.push_back({bodies.back()});
        }
        client.publish(first, bodies);
    }
    // In order, but for a straggler here and there, which keeps its page alive.
    void ack() {
        const std::uint64_t most = std::min<std::uint64_t>(leased.size(), dice.below(8));
        for (std::uint64_t n = 0; n < most; ++n) {
            const auto at =
                dice.one_in(5) && leased.size() > 1 ? std::next(leased.begin()) : leased.begin();
            const std::uint64_t number = *at;
            leased.erase(at);
            Line& line = lines.at(line_of.at(number) - 1);
            line.acked = true;
            const auto correlation = static_cast<std::uint32_t>(1000 + line_of.at(number));
            client.ack(number, 1, correlation);
        }
    }
    void look() {
        for (const Received& frame : client.take()) {
            switch (frame.header.type) {
                case wire::FrameType::confirm: confirm(frame.as<wire::Confirm>()); break;
                case wire::FrameType::refuse:
                    client.send(wire::Resume{}, 1);  // such a line is in no copy
                    break;
                case wire::FrameType::deliver: deliver(frame.as<wire::Deliver>()); break;
                case wire::FrameType::settled:
                    lines.at(frame.header.correlation.value() - 1001).settled = true;
                    break;
                default: break;
            }
        }
    }
    void confirm(const wire::Confirm& frame) {
        std::uint64_t line = frame.first_line.value();
        for (std::size_t i = 0; i < frame.size(); ++i) {
            for (std::uint64_t n = 0; n < frame[i].count; ++n) {
                lines.at(line++ - 1).confirmed = true;
            }
        }
    }
    void deliver(const wire::Deliver& frame) {
        std::uint64_t number = frame.first_number.value();
        for (const std::string& body : bodies_of(frame)) {
            line_of[number] = std::stoull(body);
            leased.insert(number++);
        }
    }

    WireClient& client;
    Dice& dice;
    std::vector<Line> lines;
    std::map<std::uint64_t, std::uint64_t> line_of;  // by number
    std::set<std::uint64_t> leased;                  // numbers
};

struct Seen {
    std::uint64_t backups = 0;
    std::uint64_t with_segments = 0;
    std::uint64_t with_checkpoint = 0;
    std::uint64_t amid_checkpoint = 0;
    std::uint64_t segments_gone = 0;  // before they were pulled
    std::uint64_t messages = 0;
};

class Amid : public BackupFixture {
  public:
    explicit Amid(std::uint64_t seed) : dice_(seed) {
        options.commit_delay_max = std::chrono::milliseconds(dice_.below(10));
        start();
        create("q", Durability::disk);
        WireClient& client = connect();
        (void)client.open_producer("q");
        (void)client.open_consumer("q");
        traffic_ = std::make_unique<Traffic>(client, dice_);
        puller_ = &connect();
        schedule_ = std::make_unique<SimSchedule>(
            dice_.next(), std::vector{&daemon.commit(), &daemon.background()});
    }
    void run(Seen& seen) {
        for (std::uint64_t turns = dice_.between(1, 500); turns > 0; --turns) {
            turn();
        }
        // What has to be in it, and what must not be.
        std::set<std::string> due;
        std::set<std::string> ended;
        for (const Traffic::Line& line : traffic_->lines) {
            (line.settled ? ended : due).insert(line.body);
            if (!line.confirmed) {
                due.erase(line.body);
            }
        }
        seen.amid_checkpoint += daemon.core().checkpoint().active() ? 1 : 0;
        puller_->send(wire::Backup{}, 0, 70);
        Copy copy;
        while (puller_->silent()) {
            turn();
        }
        copy.reply = puller_->next<wire::BackupReply>();
        for (const Traffic::Line& line : traffic_->lines) {
            if (line.acked) {
                due.erase(line.body);
            }
        }
        std::set<std::string> sent;
        for (const Traffic::Line& line : traffic_->lines) {
            sent.insert(line.body);
        }
        pull_amid(copy);
        judge(copy, due, ended, sent, seen);
        expect_nothing_left();
    }

  private:
    void turn() {
        if (dice_.one_in(3)) {
            traffic_->step();
        }
        for (std::uint64_t steps = dice_.below(4); steps > 0; --steps) {
            schedule_->step();
        }
        daemon.begin_turn();
        daemon.end_turn();
        daemon.pass(std::chrono::microseconds(dice_.below(3'000)));
    }
    void pull_amid(Copy& copy) {
        std::uint64_t asked = 0;
        while (!copy.whole) {
            if (asked < wire::backup_next_max && dice_.one_in(4)) {
                puller_->send(wire::BackupNext{}, 0, 71);
                ++asked;
            }
            turn();
            for (const Received& frame : puller_->take()) {
                if (frame.header.type == wire::FrameType::backup_part) {
                    copy.take(frame.as<wire::BackupPart>());
                    --asked;
                } else {  // asked for too much
                    CHECK(copy.whole);
                    CHECK(frame.as<wire::ErrorFrame>().code == ErrorCode::no_backup);
                }
            }
        }
    }
    void judge(const Copy& copy, const std::set<std::string>& due,
               const std::set<std::string>& ended, const std::set<std::string>& sent, Seen& seen) {
        const std::multiset<std::string> there = bodies_in(copy, options, "q");
        for (const std::string& body : due) {
            CHECK_MESSAGE(there.count(body) == 1,
                          "confirmed, and not in the copy: ", body.substr(0, body.find(':')));
        }
        for (const std::string& body : there) {
            CHECK_MESSAGE(!ended.contains(body),
                          "ended, and in the copy: ", body.substr(0, body.find(':')));
            CHECK_MESSAGE(sent.contains(body), "a phantom: ", body.substr(0, body.find(':')));
            CHECK(there.count(body) == 1);
        }
        ++seen.backups;
        seen.with_segments += copy.count("segment-") > 0 ? 1 : 0;
        seen.with_checkpoint += copy.count("checkpoint-");
        for (const auto& [name, contents] : copy.files) {
            seen.segments_gone += name.starts_with("segment-") && !disk.exists(name) ? 1 : 0;
        }
        seen.messages += there.size();
    }

    Dice dice_;
    std::unique_ptr<Traffic> traffic_;
    WireClient* puller_ = nullptr;
    std::unique_ptr<SimSchedule> schedule_;
};

TEST_CASE("backup: amid traffic it has all that was confirmed, and nothing that had ended") {
    const std::uint64_t first = Dice::new_seed() % 1'000'000'000;
    Seen seen;
    for (std::uint64_t seed = first; seed < first + 100 / mqd::test::slowness; ++seed) {
        CAPTURE(seed);
        Amid(seed).run(seen);
    }
    MESSAGE(seen.backups, " backups, ", seen.with_segments, " with segments (", seen.segments_gone,
            " files gone meanwhile), ", seen.with_checkpoint, " with a checkpoint, ",
            seen.amid_checkpoint, " amid one, ", seen.messages, " messages");
    if (mqd::test::slowness == 1) {
        CHECK(seen.with_segments > seen.backups / 4);
        CHECK(seen.with_checkpoint > seen.backups / 4);
        CHECK(seen.segments_gone > 0);
        CHECK(seen.amid_checkpoint > 0);
    }
}

}  // namespace
}  // namespace mqd::core::test
