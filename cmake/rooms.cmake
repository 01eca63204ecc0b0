# A room is a directory of sources. It is compiled against a view: a directory of links to the rooms that it may include
# and to no other, so that `#include "fast/gemm.h"` in the reference does not compile.

# cbn_see(TARGET ROOM...): lets the target include files of those rooms, as "room/file.h".
function(cbn_see target)
  set(view "${PROJECT_BINARY_DIR}/views/${target}")
  file(REMOVE_RECURSE "${view}")
  file(MAKE_DIRECTORY "${view}")
  foreach(room IN LISTS ARGN)
    file(CREATE_LINK "${PROJECT_SOURCE_DIR}/${room}" "${view}/${room}" SYMBOLIC)
  endforeach()
  target_include_directories(${target} PRIVATE "${view}")
  # Files are named as seen from the source tree's root, wherever that is; the last map that fits wins.
  target_compile_options(${target} PRIVATE
    "-ffile-prefix-map=${PROJECT_SOURCE_DIR}/=" "-ffile-prefix-map=${PROJECT_BINARY_DIR}=." "-ffile-prefix-map=${view}/=")
  target_link_libraries(${target} PRIVATE convbn_flags)
endfunction()

# cbn_sources(VARIABLE PATTERN...): the files of the source tree that match, noticed by the build when they change.
function(cbn_sources variable)
  list(TRANSFORM ARGN PREPEND "${PROJECT_SOURCE_DIR}/")
  file(GLOB sources CONFIGURE_DEPENDS ${ARGN})
  set(${variable} "${sources}" PARENT_SCOPE)
endfunction()

# cbn_room(ROOM [EXCEPT FILE...] [SEES ROOM...] [LINKS LIBRARY...]): the static library convbn_ROOM of all its sources.
function(cbn_room room)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "EXCEPT;SEES;LINKS")
  cbn_sources(sources "${room}/*.c" "${room}/*.S")
  list(TRANSFORM arg_EXCEPT PREPEND "${PROJECT_SOURCE_DIR}/${room}/")
  list(REMOVE_ITEM sources ${arg_EXCEPT})
  if(NOT sources)
    add_library(convbn_${room} INTERFACE)
    return()
  endif()
  add_library(convbn_${room} STATIC ${sources})
  cbn_see(convbn_${room} ${room} ${arg_SEES})
  target_link_libraries(convbn_${room} PUBLIC ${arg_LINKS})
endfunction()

# cbn_engine(NAME DIRECTORY SOURCE... [LINKS LIBRARY...]): the plug-in lib/convbn/DIRECTORY/NAME.so, made by the target
# engine_NAME. It sees the public headers and shows cbn_engine_open, nothing else.
function(cbn_engine name directory)
  cmake_parse_arguments(PARSE_ARGV 2 arg "" "" "LINKS")
  set(exports "${PROJECT_SOURCE_DIR}/cmake/engine.map")
  add_library(engine_${name} MODULE ${arg_UNPARSED_ARGUMENTS})
  cbn_see(engine_${name})
  target_link_libraries(engine_${name} PRIVATE ${arg_LINKS})
  target_link_options(engine_${name} PRIVATE "-Wl,--version-script=${exports}")
  set_target_properties(engine_${name} PROPERTIES PREFIX "" OUTPUT_NAME ${name} LINK_DEPENDS "${exports}"
    LIBRARY_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/lib/convbn/${directory}")
endfunction()

# cbn_library(TARGET HEADER LIBRARY): the installed library as a target; TARGET_FOUND says whether it is there.
function(cbn_library target header library)
  find_path(${target}_INCLUDE ${header})
  find_library(${target}_LIBRARY ${library})
  mark_as_advanced(${target}_INCLUDE ${target}_LIBRARY)
  if(${target}_INCLUDE AND ${target}_LIBRARY)
    add_library(${target} INTERFACE)
    target_include_directories(${target} SYSTEM INTERFACE "${${target}_INCLUDE}")
    target_link_libraries(${target} INTERFACE "${${target}_LIBRARY}")
  endif()
endfunction()
