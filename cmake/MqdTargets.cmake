# One CMake target per layer, gathered from its folder.

# mqd_sources(VARIABLE FOLDER [EXCLUDE REGEX]): the .cpp files directly in FOLDER.
function(mqd_sources variable folder)
    cmake_parse_arguments(arg "" "EXCLUDE" "" ${ARGN})
    file(GLOB sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/${folder}/*.cpp")
    if(arg_EXCLUDE)
        list(FILTER sources EXCLUDE REGEX "${arg_EXCLUDE}")
    endif()
    set(${variable} "${sources}" PARENT_SCOPE)
endfunction()

# mqd_add_layer(NAME FOLDER folder [EXCLUDE regex] [LINK target...]): a static library of the
# folder's sources; while the folder has none, an interface library of the same name, so that what
# links it need not know. A build for fuzzing makes only what the fuzzers link.
function(mqd_add_layer name)
    cmake_parse_arguments(arg "" "FOLDER;EXCLUDE" "LINK" ${ARGN})
    mqd_sources(sources "${arg_FOLDER}" EXCLUDE "${arg_EXCLUDE}")
    if(sources)
        add_library(${name} STATIC ${sources})
        set_target_properties(${name} PROPERTIES EXCLUDE_FROM_ALL "${MQD_FUZZ}")
        set(visibility PUBLIC)
    else()
        add_library(${name} INTERFACE)
        set(visibility INTERFACE)
    endif()
    target_include_directories(
        ${name} ${visibility} "$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>")
    target_link_libraries(${name} ${visibility} ${arg_LINK})
endfunction()

# mqd_add_program(NAME SOURCE file [LINK target...]): an executable, once its source exists.
function(mqd_add_program name)
    cmake_parse_arguments(arg "" "SOURCE" "LINK" ${ARGN})
    file(GLOB source CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/${arg_SOURCE}")
    if(NOT source)
        return()
    endif()
    add_executable(${name} ${source})
    set_target_properties(${name} PROPERTIES EXCLUDE_FROM_ALL "${MQD_FUZZ}")
    target_link_libraries(${name} PRIVATE ${arg_LINK})
endfunction()
