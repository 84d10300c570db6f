# perforator_optimize(<target> SERVICE <service> [REQUIRED] [OPTIONS <option of 'perforator flags'>…])
#
# Compiles a target's C and C++, and with INTERPROCEDURAL_OPTIMIZATION links it, with the service's current profile. The server is asked when
# CMake configures, once for each service and its options, so that all targets have the same profile; configure again for a newer one. What
# cannot be had is a warning and the profile of the last time, or none; with REQUIRED it ends the configuration.
#
# The program is PERFORATOR_PROGRAM, else that beside this file or on PATH; its server is named by --server in OPTIONS or by PERFORATOR_SERVER.
include_guard(GLOBAL)

set(_perforator_module_folder "${CMAKE_CURRENT_LIST_DIR}")

function(perforator_optimize target)
  cmake_parse_arguments(PARSE_ARGV 1 arg "REQUIRED" "SERVICE" "OPTIONS")
  if(NOT arg_SERVICE OR arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "perforator_optimize(${target} SERVICE <service> [REQUIRED] [OPTIONS …]): '${arg_UNPARSED_ARGUMENTS}' or the lack of SERVICE is wrong")
  endif()
  find_program(PERFORATOR_PROGRAM perforator HINTS "${_perforator_module_folder}/../.." DOC "Perforator's command line program")
  if(NOT PERFORATOR_PROGRAM)
    if(arg_REQUIRED)
      message(FATAL_ERROR "Perforator: there is no program 'perforator' on PATH; name it with -DPERFORATOR_PROGRAM=…")
    endif()
    message(WARNING "Perforator: there is no program 'perforator' on PATH, so ${target} is built without a profile; name it with -DPERFORATOR_PROGRAM=…")
    return()
  endif()

  set(compiler "${CMAKE_CXX_COMPILER}")
  if(NOT compiler)
    set(compiler "${CMAKE_C_COMPILER}")
  endif()
  get_target_property(lto ${target} INTERPROCEDURAL_OPTIMIZATION)
  set(options ${arg_OPTIONS} --compiler "${compiler}")
  if(lto)
    list(APPEND options --lto)
  endif()
  if(NOT arg_REQUIRED)
    list(APPEND options --or-last)
  endif()

  string(SHA256 question "${arg_SERVICE};${options}")
  get_property(asked GLOBAL PROPERTY "PERFORATOR_ASKED_${question}")
  if(NOT asked)
    _perforator_run(flags "${arg_SERVICE}" ${options})
    set_property(GLOBAL PROPERTY "PERFORATOR_FLAGS_${question}" "${flags}")
    set_property(GLOBAL PROPERTY "PERFORATOR_ASKED_${question}" TRUE)
  endif()
  get_property(flags GLOBAL PROPERTY "PERFORATOR_FLAGS_${question}")
  if(NOT flags MATCHES "-fprofile-sample-use=([^ ]+)")
    return()
  endif()
  set(profile "${CMAKE_MATCH_1}")

  # "SHELL:" keeps CMake from taking the second "-mllvm" of "-mllvm x -mllvm y" for a repetition.
  string(REPLACE "-mllvm -" "-mllvm+-" words "${flags}")
  separate_arguments(words UNIX_COMMAND "${words}")
  foreach(word IN LISTS words)
    string(REPLACE "-mllvm+-" "SHELL:-mllvm -" word "${word}")
    target_compile_options(${target} PRIVATE "$<$<COMPILE_LANGUAGE:C,CXX>:${word}>")
  endforeach()
  if(lto)
    _perforator_run(flags --profile "${profile}" --compiler "${compiler}" --lto --ldflags)
    separate_arguments(words UNIX_COMMAND "${flags}")
    target_link_options(${target} PRIVATE ${words})
  endif()
endfunction()

# Runs 'perforator flags' and sets <result> to what it prints.
function(_perforator_run result)
  execute_process(
    COMMAND "${PERFORATOR_PROGRAM}" flags ${ARGN}
    OUTPUT_VARIABLE output ERROR_VARIABLE report RESULT_VARIABLE code OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_STRIP_TRAILING_WHITESPACE)
  if(NOT code EQUAL 0)
    message(FATAL_ERROR "Perforator gives no flags:\n${report}")
  endif()
  if(report MATCHES "warning: ")
    message(WARNING "${report}")
  elseif(report)
    message(STATUS "Perforator: ${report}")
  endif()
  set(${result} "${output}" PARENT_SCOPE)
endfunction()
