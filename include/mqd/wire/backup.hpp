#pragma once

// The frames with which a copy of the store is pulled. See wire/frame.hpp for how frames work.

#include "mqd/wire/frame.hpp"

namespace mqd::wire {

// The copy of the store stands, and its parts can be asked for.
struct BackupReply {
    static constexpr FrameType type = FrameType::backup_reply;
    std::uint32_t files = 0;
    std::uint64_t bytes = 0;  // of all files

    void encode(Writer& w) const { w.number(files).number(bytes); }
    [[nodiscard]] static std::optional<BackupReply> decode(Bytes body) {
        Reader r(body);
        BackupReply f;
        f.files = r.number<std::uint32_t>();
        f.bytes = r.number<std::uint64_t>();
        return r.ok() ? std::optional(f) : std::nullopt;
    }
};

enum class BackupEnd : std::uint8_t {
    none = 0,
    file = 1,    // the file ends with this part
    backup = 2,  // and so does the backup
};

// The next bytes of a file of the copy: file by file, each from its beginning, without a gap.
struct BackupPart {
    static constexpr FrameType type = FrameType::backup_part;
    static constexpr std::size_t fixed_bytes_max = 1 + 8 + 1 + 255;
    BackupEnd end{};
    std::uint64_t offset = 0;  // in the file
    std::string_view file;     // its name
    Bytes bytes;

    // All but the bytes, which the daemon sends from where they lie.
    void encode_fixed(Writer& w) const {
        w.number(static_cast<std::uint8_t>(end)).number(offset).string8(file);
    }
    void encode(Writer& w) const {
        encode_fixed(w);
        w.bytes(bytes);
    }
    [[nodiscard]] static std::optional<BackupPart> decode(Bytes body) {
        Reader r(body);
        BackupPart f;
        f.end = static_cast<BackupEnd>(r.number<std::uint8_t>());
        f.offset = r.number<std::uint64_t>();
        f.file = r.string8();
        f.bytes = r.rest();
        return r.ok() && f.end <= BackupEnd::backup ? std::optional(f) : std::nullopt;
    }
};

}  // namespace mqd::wire
