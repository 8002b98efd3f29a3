#pragma once

// Faults that can be compiled in, to prove that the simulation catches them:
// -DMQD_PLANTED_FAULT=skip_sync. Production code has none.

namespace mqd::storage {

enum class Fault { none, confirm_before_sync, skip_sync, drop_checksum };

#ifndef MQD_PLANTED_FAULT
#define MQD_PLANTED_FAULT none
#endif

[[nodiscard]] consteval bool planted(Fault fault) {
    constexpr Fault here = Fault::MQD_PLANTED_FAULT;
    return fault != Fault::none && fault == here;
}

}  // namespace mqd::storage
