#include "client/url.hpp"

#include <sys/un.h>

#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "mqd/client.hpp"

namespace mqd::client {

namespace {

Error bad_url(std::string_view url, std::string_view why) {
    return {ErrorCode::bad_url, "URL \"" + std::string(url) + "\": " + std::string(why)};
}

// Takes the port behind the last colon off `rest`; false if it is not 1..65535.
bool take_port(std::string_view digits, std::uint16_t& port) {
    const auto [end, bad] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
    return bad == std::errc() && end == digits.data() + digits.size() && port != 0;
}

Result<Address> parse_unix(std::string_view url, std::string_view path) {
    if (path.starts_with("//")) {
        path.remove_prefix(2);  // unix:///run/mqd/mqd.sock
        if (!path.empty() && path[0] != '/') {
            // In other URLs the first part would be a host.
            return bad_url(url, "write unix:/" + std::string(path) + " or unix:///" +
                                    std::string(path) + ", or unix:" + std::string(path) +
                                    " for a path from the current folder");
        }
    }
    if (path.empty()) {
        return bad_url(url, "no path behind unix:");
    }
    if (path.find('\0') != std::string_view::npos) {
        return bad_url(url, "a path has no zero bytes");
    }
    constexpr std::size_t path_bytes_max = sizeof(sockaddr_un::sun_path) - 1;
    if (path.size() > path_bytes_max) {
        return bad_url(
            url, "the path of a socket has at most " + std::to_string(path_bytes_max) + " bytes");
    }
    Address address;
    address.path = path;
    return address;
}

Result<Address> parse_tcp(std::string_view url, std::string_view rest) {
    Address address;
    address.kind = Address::Kind::tcp;
    std::string_view port;
    if (rest.starts_with('[')) {
        const std::size_t end = rest.find(']');
        if (end == std::string_view::npos) {
            return bad_url(url, "\"[\" without \"]\"");
        }
        address.host = rest.substr(1, end - 1);
        port = rest.substr(end + 1);
    } else {
        const std::size_t colon = rest.find(':');
        if (colon != std::string_view::npos && rest.find(':', colon + 1) != rest.npos) {
            return bad_url(url, "write an IPv6 address in brackets: tcp://[::1]:7440");
        }
        address.host = rest.substr(0, colon);
        port = colon == std::string_view::npos ? "" : rest.substr(colon);
    }
    if (address.host.empty() || address.host.find('\0') != std::string::npos) {
        return bad_url(url, "no host");
    }
    if (!port.empty() && (port[0] != ':' || !take_port(port.substr(1), address.port))) {
        return bad_url(url, "the port is a number from 1 to 65535");
    }
    return address;
}

}  // namespace

Result<Address> parse_url(std::string_view url) {
    constexpr std::string_view unix_scheme = "unix:";
    constexpr std::string_view tcp_scheme = "tcp://";
    if (url.starts_with(unix_scheme)) {
        return parse_unix(url, url.substr(unix_scheme.size()));
    }
    if (url.starts_with(tcp_scheme)) {
        return parse_tcp(url, url.substr(tcp_scheme.size()));
    }
    if (url.starts_with("tls://")) {
        return bad_url(url, "TLS is not built yet; use unix:/path or tcp://host:port");
    }
    return bad_url(url, "use unix:/path or tcp://host:port");
}

}  // namespace mqd::client

namespace mqd {

std::string default_url() {
    if (const char* url = std::getenv("MQD_URL"); url != nullptr && *url != '\0') {
        return url;
    }
    if (const char* folder = std::getenv("XDG_RUNTIME_DIR"); folder != nullptr && *folder != '\0') {
        const std::string path = std::string(folder) + "/mqd.sock";
        std::error_code ignored;
        if (std::filesystem::exists(path, ignored)) {
            return "unix:" + path;
        }
    }
    return "unix:/run/mqd/mqd.sock";
}

}  // namespace mqd
