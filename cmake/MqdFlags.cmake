# How everything is compiled: the language, the warnings, the sanitizers, the linker, the cache.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_CXX_SCAN_FOR_MODULES OFF)

if(NOT CMAKE_BUILD_TYPE)
    set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "Build type" FORCE)
endif()

option(MQD_WERROR "Treat warnings as errors" OFF)
option(MQD_FUZZ "Build the libFuzzer programs (clang only)" OFF)
option(MQD_COVERAGE "Instrument for gcov" OFF)
option(MQD_LTO "Optimise the daemon across translation units (GCC)" OFF)
option(MQD_STATIC_RUNTIME "Link the compiler's runtime into the daemon" OFF)
set(MQD_SANITIZE "" CACHE STRING "Sanitizers, as in -fsanitize=")

# Warnings. Sign conversions stay quiet: they hit every index and say little.
add_compile_options(-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion
                    -Wnon-virtual-dtor -Wold-style-cast -Woverloaded-virtual)
if(MQD_WERROR)
    add_compile_options(-Werror)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # Wrong for std::string + "literal" at -O2 in GCC 12 (GCC bug 105651).
    add_compile_options(-Wno-restrict)
endif()

if(MQD_SANITIZE)
    add_compile_options(-fsanitize=${MQD_SANITIZE} -fno-sanitize-recover=all
                        -fno-omit-frame-pointer)
    add_compile_definitions(_GLIBCXX_ASSERTIONS)
    add_link_options(-fsanitize=${MQD_SANITIZE})
    if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
        # GCC's flow-based warnings see the instrumentation and guess wrong; the release build,
        # which sees the code as it is, keeps them.
        add_compile_options(-Wno-maybe-uninitialized -Wno-stringop-overflow -Wno-array-bounds
                            -Wno-stringop-overread -Wno-nonnull -Wno-null-dereference)
        if(MQD_SANITIZE MATCHES "thread")
            add_compile_options(-Wno-tsan)
        endif()
    else()
        # clang 14's function check does not understand coroutines.
        add_compile_options(-fno-sanitize=function)
        add_link_options(-fno-sanitize=function)
    endif()
endif()

if(MQD_COVERAGE)
    add_compile_options(--coverage -fprofile-update=atomic)
    add_compile_definitions(MQD_COVERAGE)
    add_link_options(--coverage)
endif()

# These layers neither throw nor catch. Without exceptions the compiler makes no branch for what the
# standard library might throw, so that each one that is counted is one that somebody wrote.
function(mqd_measure_without_exceptions)
    if(MQD_COVERAGE)
        foreach(target IN LISTS ARGN)
            target_compile_options(${target} PRIVATE -fno-exceptions)
        endforeach()
    endif()
endfunction()

if(MQD_FUZZ)
    if(NOT CMAKE_CXX_COMPILER_ID MATCHES "Clang")
        message(FATAL_ERROR "MQD_FUZZ needs clang (use the preset \"fuzz\")")
    endif()
    add_compile_options(-fsanitize=fuzzer-no-link)
endif()

# Link-time optimisation, of the layers that mqd_use_lto names and of the daemon itself. The objects
# carry plain code too, so that the test programs link without it and quickly.
function(mqd_use_lto)
    if(NOT MQD_LTO)
        return()
    endif()
    foreach(target IN LISTS ARGN)
        if(NOT TARGET ${target})
            continue()
        endif()
        get_target_property(type ${target} TYPE)
        if(type STREQUAL "STATIC_LIBRARY")
            target_compile_options(${target} PRIVATE -flto -ffat-lto-objects)
        elseif(type STREQUAL "EXECUTABLE")
            target_compile_options(${target} PRIVATE -flto)
            target_link_options(${target} PRIVATE -flto=auto -O2)
        endif()
    endforeach()
endfunction()

# A faster linker, where there is one and the compiler takes it.
include(CheckLinkerFlag)
foreach(linker IN ITEMS mold lld)
    check_linker_flag(CXX "-fuse-ld=${linker}" MQD_HAVE_LINKER_${linker})
    if(MQD_HAVE_LINKER_${linker})
        add_link_options(-fuse-ld=${linker})
        break()
    endif()
endforeach()

# A compiler cache, where there is one; clones in different folders share what is in it.
find_program(MQD_CCACHE ccache)
mark_as_advanced(MQD_CCACHE)
if(MQD_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
    set(CMAKE_CXX_COMPILER_LAUNCHER
        "${CMAKE_COMMAND};-E;env;CCACHE_BASEDIR=${PROJECT_SOURCE_DIR};CCACHE_NOHASHDIR=1;${MQD_CCACHE}")
endif()
