#pragma once

// The vectors of the protocol, tests/wire/vectors/*.txt: one frame each. A line is "bytes in hex |
// name = value # remark"; a field of more than 12 bytes begins on lines of bytes alone. Lines with
// '#' in front are words. Who writes a client in another language can read them as they are.

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace mqd::wire::test {

struct VectorFile {
    std::string name;                 // of the file
    std::vector<std::byte> bytes;     // the whole frame
    std::vector<std::string> fields;  // "name = value", without the reserved ones
};

inline VectorFile read_vector(const std::filesystem::path& path) {
    VectorFile vector{path.filename().string(), {}, {}};
    std::ifstream in(path);
    REQUIRE_MESSAGE(in.good(), "cannot read ", path.string());
    for (std::string line; std::getline(in, line);) {
        if (line.starts_with('#')) {
            continue;
        }
        const std::size_t bar = line.find('|');
        std::istringstream hex(line.substr(0, bar));
        for (std::string byte; hex >> byte;) {
            REQUIRE_MESSAGE(byte.size() == 2, path.string(), ": ", line);
            vector.bytes.push_back(static_cast<std::byte>(std::stoul(byte, nullptr, 16)));
        }
        if (bar != std::string::npos) {
            const std::string field = line.substr(bar + 2, line.find("  #") - bar - 2);
            if (!field.starts_with("reserved")) {
                vector.fields.push_back(field);
            }
        }
    }
    return vector;
}

// All of them, in order of name. The tests run at the root of the source tree.
inline std::vector<VectorFile> all_vectors() {
    std::vector<std::filesystem::path> paths;
    for (const auto& entry : std::filesystem::directory_iterator("tests/wire/vectors")) {
        if (entry.path().extension() == ".txt") {
            paths.push_back(entry.path());
        }
    }
    std::sort(paths.begin(), paths.end());
    std::vector<VectorFile> vectors;
    for (const auto& path : paths) {
        vectors.push_back(read_vector(path));
    }
    REQUIRE(!vectors.empty());
    return vectors;
}

}  // namespace mqd::wire::test
