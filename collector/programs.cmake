add_executable(lasthop-collector main.c main_options.c main_config.c main_endpoint.c)
pkg_check_modules(PC_libcyaml REQUIRED IMPORTED_TARGET libcyaml)
target_link_libraries(lasthop-collector PRIVATE collector_api PkgConfig::PC_libcyaml)
