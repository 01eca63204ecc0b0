# convbn_flags: how every file of the project is compiled and linked, whatever machine builds it: no -march.
set(CBN_SANITIZE "" CACHE STRING "Sanitizers, as -fsanitize= takes them; empty for none")
set(CBN_FUZZER "" CACHE STRING "Fuzzer whose programs are built: libfuzzer (clang), afl (afl-clang-fast); empty for none")
set(CBN_FUZZING_ENGINE "$ENV{LIB_FUZZING_ENGINE}" CACHE STRING "What libfuzzer's programs are linked with; empty for clang's")

add_library(convbn_flags INTERFACE)
target_include_directories(convbn_flags INTERFACE "${PROJECT_SOURCE_DIR}/include")
target_compile_options(convbn_flags INTERFACE
  -Wall -Wextra -Wconversion
  # A fused multiply-add stands where it is written and nowhere else.
  -ffp-contract=off
  -fno-semantic-interposition)
target_link_options(convbn_flags INTERFACE -Wl,--as-needed -Wl,-z,relro -Wl,-z,now)

if(CBN_SANITIZE)
  target_compile_options(convbn_flags INTERFACE "-fsanitize=${CBN_SANITIZE}" -fno-sanitize-recover=all)
  target_link_options(convbn_flags INTERFACE "-fsanitize=${CBN_SANITIZE}")
else()
  target_compile_options(convbn_flags INTERFACE
    $<$<AND:$<COMPILE_LANGUAGE:C>,$<NOT:$<CONFIG:Debug>>>:-D_FORTIFY_SOURCE=2>
    -fstack-protector-strong -fstack-clash-protection)
endif()

# The run-time of sanitizers and fuzzers stays undefined in shared objects until the program is there; all else must be
# defined.
if(NOT CBN_SANITIZE AND NOT CBN_FUZZER)
  add_link_options($<$<NOT:$<STREQUAL:$<TARGET_PROPERTY:TYPE>,EXECUTABLE>>:-Wl,-z,defs>)
endif()
