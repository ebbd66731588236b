add_subdirectory(worker)
add_executable(lasthop-agent main.c watches.c wishes.c)
target_link_libraries(lasthop-agent PRIVATE agent_worker agent_uplink)
