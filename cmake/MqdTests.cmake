# The test programs: one per layer, and what runs them under ctest.

# Seconds that one test case may take; the sanitizers make everything several times slower.
set(MQD_TEST_TIMEOUT 120 CACHE STRING "Seconds that one test case may take")
set(MQD_FUZZ_SECONDS 30 CACHE STRING "Seconds that each fuzzer runs under ctest")

# A test program that matches no test case reports success; ctest must call that a failure.
set(MQD_NO_TEST_CASES "test cases: +0 ")

# mqd_add_test_program(layer LINK target... [ONLY_TESTS] [SHORT_RUN] [LABEL label] [TIMEOUT s]
#                      [DEFINITIONS d...]):
# tests/<layer>/*.cpp becomes mqd_<layer>_test; each test case in it becomes one ctest test. With
# ONLY_TESTS only the files *_test.cpp: the others are a library that is linked. SHORT_RUN: it takes
# longer to compile than to run, so that it is not optimised for ASan and UBSan, which doubles the
# time of compiling; what it runs then, templates of the libraries included, takes three times as
# long.
function(mqd_add_test_program layer)
    cmake_parse_arguments(arg "ONLY_TESTS;SHORT_RUN" "LABEL;TIMEOUT" "LINK;DEFINITIONS" ${ARGN})
    file(GLOB tests CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/${layer}/*_test.cpp")
    if(NOT tests)
        return()
    endif()
    if(NOT arg_LABEL)
        set(arg_LABEL unit)
    endif()
    if(NOT arg_TIMEOUT)
        set(arg_TIMEOUT ${MQD_TEST_TIMEOUT})
    endif()
    set(sources ${tests})
    if(NOT arg_ONLY_TESTS)
        file(GLOB sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/${layer}/*.cpp")
    endif()
    set(program mqd_${layer}_test)
    add_executable(${program} ${sources} doctest_main.cpp)
    target_link_libraries(${program} PRIVATE mqd_test_support ${arg_LINK})
    target_compile_definitions(${program} PRIVATE ${arg_DEFINITIONS})
    target_link_options(${program} PRIVATE -fno-lto)  # the objects are fat; a test need not be fast
    if(arg_SHORT_RUN AND MQD_SANITIZE MATCHES "undefined")
        target_compile_options(${program} PRIVATE -O0)
    endif()
    doctest_discover_tests(
        ${program}
        TEST_PREFIX "${layer}/"
        WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}"
        PROPERTIES LABELS ${arg_LABEL} TIMEOUT ${arg_TIMEOUT} FAIL_REGULAR_EXPRESSION
                   "${MQD_NO_TEST_CASES}")
endfunction()

# mqd_add_planted(fault IN source): mqd-sim with one deliberate fault in the product. Within
# MQD_PLANTED_SEEDS seeds it must find the fault, or it proves nothing. Only the source in which the
# fault is planted is compiled anew; its object comes before the library's, which then has nothing
# left to add.
set(MQD_PLANTED_SEEDS 2000)
function(mqd_add_planted fault)
    cmake_parse_arguments(arg "" "IN" "" ${ARGN})
    set(program mqd_sim_planted_${fault})
    add_executable(${program} $<TARGET_OBJECTS:mqd-sim> "${PROJECT_SOURCE_DIR}/${arg_IN}")
    target_compile_definitions(${program} PRIVATE MQD_PLANTED_FAULT=${fault})
    target_link_libraries(${program} PRIVATE mqd_sim_lib)
    target_link_options(${program} PRIVATE -fno-lto)
    add_test(NAME "planted: ${fault}"
             COMMAND "${CMAKE_CURRENT_SOURCE_DIR}/sim/expect_caught.sh" "$<TARGET_FILE:${program}>"
                     "${MQD_PLANTED_SEEDS}")
    set_tests_properties("planted: ${fault}"
                         PROPERTIES LABELS "simulation;slow" TIMEOUT 300)
endfunction()

# mqd_add_fuzzer(source): one libFuzzer program; ctest runs it for MQD_FUZZ_SECONDS from a copy of
# its seeds.
function(mqd_add_fuzzer source)
    get_filename_component(name "${source}" NAME_WE)
    string(REGEX REPLACE "_fuzz$" "" name "${name}")
    set(program mqd_${name}_fuzz)
    add_executable(${program} "${source}")
    target_include_directories(${program} PRIVATE "${CMAKE_CURRENT_SOURCE_DIR}")
    target_link_libraries(${program} PRIVATE mqd_core mqd_client)
    file(STRINGS "${source}" includes REGEX "^#include \"daemon/((net|config)/)?[a-z_]+\\.hpp\"")
    if(includes MATCHES "\"daemon/net/")
        target_link_libraries(${program} PRIVATE mqd_net)
    endif()
    if(includes MATCHES "\"daemon/config/")
        target_link_libraries(${program} PRIVATE mqd_config)
    endif()
    if(includes MATCHES "\"daemon/[a-z_]+\\.hpp")
        target_link_libraries(${program} PRIVATE mqd_daemon)
    endif()
    target_link_options(${program} PRIVATE -fsanitize=fuzzer)
    add_test(NAME "fuzz: ${name}"
             COMMAND "${CMAKE_CURRENT_SOURCE_DIR}/fuzz/run.sh" "$<TARGET_FILE:${program}>"
                     "${CMAKE_CURRENT_SOURCE_DIR}/fuzz/corpus/${name}"
                     "${CMAKE_CURRENT_BINARY_DIR}/fuzz/${name}" "${MQD_FUZZ_SECONDS}")
    math(EXPR timeout "${MQD_FUZZ_SECONDS} + 120")
    set_tests_properties("fuzz: ${name}" PROPERTIES LABELS fuzz TIMEOUT ${timeout})
endfunction()
