# Finds standalone Asio (headers only; Debian's libasio-dev has no CMake files) as Asio::asio.
#
# ASIO_HAS_CO_AWAIT and ASIO_HAS_STD_COROUTINE are stated for every compiler: clang 14, and with it
# clang-tidy, does not find coroutines by itself. ASIO_DISABLE_STD_ALIGNED_ALLOC: whether Asio finds
# aligned_alloc by itself depends on what was included before it, and files that differ in that free
# each other's memory wrongly.

find_path(Asio_INCLUDE_DIR NAMES asio.hpp)

if(Asio_INCLUDE_DIR AND EXISTS "${Asio_INCLUDE_DIR}/asio/version.hpp")
    file(STRINGS "${Asio_INCLUDE_DIR}/asio/version.hpp" asio_version_line
         REGEX "^#define ASIO_VERSION [0-9]+")
    if(asio_version_line MATCHES "([0-9]+) *//.* ([0-9]+\\.[0-9]+\\.[0-9]+)")
        set(Asio_VERSION "${CMAKE_MATCH_2}")
    elseif(asio_version_line MATCHES "ASIO_VERSION ([0-9]+)")
        math(EXPR asio_major "${CMAKE_MATCH_1} / 100000")
        math(EXPR asio_minor "${CMAKE_MATCH_1} / 100 % 1000")
        math(EXPR asio_patch "${CMAKE_MATCH_1} % 100")
        set(Asio_VERSION "${asio_major}.${asio_minor}.${asio_patch}")
    endif()
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Asio REQUIRED_VARS Asio_INCLUDE_DIR VERSION_VAR Asio_VERSION)
mark_as_advanced(Asio_INCLUDE_DIR)

if(Asio_FOUND AND NOT TARGET Asio::asio)
    find_package(Threads REQUIRED)
    add_library(Asio::asio INTERFACE IMPORTED)
    target_include_directories(Asio::asio INTERFACE "${Asio_INCLUDE_DIR}")
    target_compile_definitions(
        Asio::asio INTERFACE ASIO_STANDALONE ASIO_NO_DEPRECATED ASIO_HAS_CO_AWAIT
                             ASIO_HAS_STD_COROUTINE ASIO_DISABLE_STD_ALIGNED_ALLOC)
    target_link_libraries(Asio::asio INTERFACE Threads::Threads)
endif()
