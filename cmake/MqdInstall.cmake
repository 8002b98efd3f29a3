# What `cmake --install` puts where (GNUInstallDirs), and what a program outside the tree needs to
# find the client library. Files that are not there yet are left out.

include(CMakePackageConfigHelpers)

if(MQD_FUZZ)
    return()
endif()

if(TARGET mqd)
    install(TARGETS mqd RUNTIME DESTINATION "${CMAKE_INSTALL_SBINDIR}")
endif()
if(TARGET mqctl)
    install(TARGETS mqctl RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")
endif()

# --- The client library ---------------------------------------------------------------------------

install(TARGETS mqd_client mqd_include EXPORT mqdTargets
        ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}")
install(DIRECTORY "${PROJECT_SOURCE_DIR}/include/mqd" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}"
        FILES_MATCHING PATTERN "*.hpp" PATTERN "*.h")

set(cmake_folder "${CMAKE_INSTALL_LIBDIR}/cmake/mqd")
configure_package_config_file(
    "${PROJECT_SOURCE_DIR}/cmake/mqdConfig.cmake.in" "${PROJECT_BINARY_DIR}/mqdConfig.cmake"
    INSTALL_DESTINATION "${cmake_folder}" NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file("${PROJECT_BINARY_DIR}/mqdConfigVersion.cmake"
                                 COMPATIBILITY SameMinorVersion)
install(EXPORT mqdTargets NAMESPACE mqd:: DESTINATION "${cmake_folder}")
install(FILES "${PROJECT_BINARY_DIR}/mqdConfig.cmake"
              "${PROJECT_BINARY_DIR}/mqdConfigVersion.cmake"
        DESTINATION "${cmake_folder}")

configure_file("${PROJECT_SOURCE_DIR}/cmake/mqd.pc.in" "${PROJECT_BINARY_DIR}/mqd.pc" @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/mqd.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")

# --- The service ----------------------------------------------------------------------------------

file(GLOB units CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/systemd/*.service"
     "${PROJECT_SOURCE_DIR}/systemd/*.socket")
file(GLOB unit_templates CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/systemd/*.service.in"
     "${PROJECT_SOURCE_DIR}/systemd/*.socket.in")
foreach(template IN LISTS unit_templates)
    get_filename_component(unit "${template}" NAME_WLE)
    configure_file("${template}" "${PROJECT_BINARY_DIR}/systemd/${unit}" @ONLY)
    list(APPEND units "${PROJECT_BINARY_DIR}/systemd/${unit}")
endforeach()
install(FILES ${units} DESTINATION lib/systemd/system)

foreach(kind IN ITEMS sysusers tmpfiles)
    file(GLOB files CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/systemd/*.${kind}")
    foreach(file IN LISTS files)
        get_filename_component(name "${file}" NAME_WLE)
        install(FILES "${file}" DESTINATION lib/${kind}.d RENAME "${name}.conf")
    endforeach()
endforeach()

# With the prefix /usr the configuration goes to /etc; elsewhere it stays below the prefix, so that
# `cmake --install --prefix` touches nothing outside it.
set(config_folder "${CMAKE_INSTALL_SYSCONFDIR}")
if(CMAKE_INSTALL_PREFIX STREQUAL "/usr")
    set(config_folder "${CMAKE_INSTALL_FULL_SYSCONFDIR}")
endif()
if(EXISTS "${PROJECT_SOURCE_DIR}/config/mqd.toml")
    install(FILES "${PROJECT_SOURCE_DIR}/config/mqd.toml" DESTINATION "${config_folder}/mqd")
endif()

# --- Man pages ------------------------------------------------------------------------------------

file(GLOB pages CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/docs/man/*.scd")
find_program(MQD_SCDOC scdoc)
mark_as_advanced(MQD_SCDOC)
if(MQD_SCDOC AND pages)
    set(manuals "")
    foreach(page IN LISTS pages)
        get_filename_component(manual "${page}" NAME_WLE) # mqd.toml.5
        string(REGEX MATCH "[1-8]$" section "${manual}")
        set(output "${PROJECT_BINARY_DIR}/man/${manual}")
        add_custom_command(
            OUTPUT "${output}"
            COMMAND "${CMAKE_COMMAND}" -E make_directory "${PROJECT_BINARY_DIR}/man"
            COMMAND sh -c "'${MQD_SCDOC}' < '${page}' > '${output}'"
            DEPENDS "${page}" VERBATIM)
        install(FILES "${output}" DESTINATION "${CMAKE_INSTALL_MANDIR}/man${section}")
        list(APPEND manuals "${output}")
    endforeach()
    add_custom_target(mqd_manuals ALL DEPENDS ${manuals})
endif()
