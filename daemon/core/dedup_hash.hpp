#pragma once

// What a queue remembers of the id of a message: SipHash-2-4 of 128 bits (Aumasson and Bernstein,
// "SipHash: a fast short-input PRF", 2012, and its 128-bit variant) with the queue's secret key.
// A message is taken for another one only if the hashes of their ids are equal: as nobody outside
// knows the key, none can be looked for, and by accident that happens with a probability of 2^-128
// for each pair. Hashes lie in checkpoints, so this stays as it is.

#include "daemon/engine/dedup_window.hpp"
#include "mqd/wire/bytes.hpp"

namespace mqd::core {

[[nodiscard]] engine::DedupHash dedup_hash(const engine::DedupKey& key, wire::Bytes id);

}  // namespace mqd::core
