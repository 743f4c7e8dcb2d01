# One build for the packet path: the engine as a plain library, the addon that Node loads, native tests, benches and
# traffic tools. The Debug configuration (node-gyp --debug) is the sanitized one: AddressSanitizer and UBSan.
{
  'variables': {
    'openssl_fips': '',
    'engine_sources': [
      # The stages and packet/parse.cc are part of pipeline/pipeline.cc.
      '<!@(ls native-bindings/packet/*.cc native-bindings/packet/encapsulation/*.cc native-bindings/pipeline/*.cc native-bindings/pools/*.cc native-bindings/ports/*.cc native-bindings/tables/*.cc | grep -v packet/parse.cc)',
      'native-bindings/stages/answers.cc',
    ],
    'test_sources': ['<!@(ls native-bindings/test/*.cc)'],
  },
  'target_defaults': {
    'default_configuration': 'Release',
    'include_dirs': ['native-bindings'],
    'cflags_cc!': ['-fno-exceptions', '-fno-rtti', '-std=gnu++17', '-std=gnu++20', '-std=gnu++1y'],
    'cflags!': ['-fno-omit-frame-pointer'],
    # -Wrestrict is wrong about string concatenation in g++ 12 (GCC bug 105651).
    'cflags': ['-Wall', '-Wextra', '-Werror', '-Wno-restrict', '-fPIC', '-fvisibility=hidden'],
    'cflags_cc': ['-std=c++20', '-fexceptions', '-frtti'],
    'conditions': [
      # popcnt, which the lookup of rules lives on: in every x86-64 processor since 2009. The addon checks for it.
      ['target_arch=="x64"', {'cflags': ['-march=x86-64-v2']}],
    ],
    'configurations': {
      # Pairs of counters are cheaper to add to one by one than as vectors put together for it.
      'Release': {'cflags': ['-O2', '-g1', '-fno-tree-slp-vectorize']},
      'Debug': {
        'cflags!': ['-O0'],
        'cflags': ['-O1', '-g', '-fno-omit-frame-pointer', '-fsanitize=address,undefined', '-fno-sanitize-recover=undefined'],
        'ldflags': ['-fsanitize=address,undefined'],
      },
    },
  },
  'targets': [
    {
      'target_name': 'headgate_engine',
      'type': 'static_library',
      'sources': ['<@(engine_sources)'],
      # BPF programs (pipeline/trace.h); the compiler of expressions is the addon's alone.
      'link_settings': {'libraries': ['-lpcap']},
    },
    {
      'target_name': 'headgate',
      'dependencies': ['headgate_engine'],
      'sources': ['<!@(ls native-bindings/addon/*.cc)'],
      'include_dirs': ["<!@(node -p \"require('node-addon-api').include_dir\")"],
      'defines': ['NAPI_VERSION=9', 'NAPI_CPP_EXCEPTIONS'],
    },
    {
      # For tests of upgrades alone: the same engine with another layout of connection records (test/next_layout.h).
      'target_name': 'headgate_next',
      'sources': ['<@(engine_sources)', '<!@(ls native-bindings/addon/*.cc)'],
      'include_dirs': ["<!@(node -p \"require('node-addon-api').include_dir\")"],
      'defines': ['NAPI_VERSION=9', 'NAPI_CPP_EXCEPTIONS', 'HEADGATE_NEXT_LAYOUT'],
      'libraries': ['-lpcap'],
    },
    {
      'target_name': 'headgate_native_tests',
      'type': 'executable',
      'dependencies': ['headgate_engine'],
      'sources': ['<@(test_sources)'],
      # Wrong about vectors of constants in g++ 12 (GCC bug 107852).
      'cflags': ['-O1', '-Wno-array-bounds', '-Wno-stringop-overflow', '-Wno-stringop-overread'],
      'libraries': ['-lpthread'],
    },
    {
      'target_name': 'bench_wire', 'type': 'executable', 'dependencies': ['headgate_engine'],
      'sources': ['native-bindings/bench/wire.cc'], 'libraries': ['-lpthread'],
    },
    {
      'target_name': 'bench_pipeline', 'type': 'executable', 'dependencies': ['headgate_engine'],
      'sources': ['native-bindings/bench/pipeline.cc'], 'libraries': ['-lpthread'],
    },
    {
      'target_name': 'bench_tunnel', 'type': 'executable', 'dependencies': ['headgate_engine'],
      'sources': ['native-bindings/bench/tunnel.cc'], 'libraries': ['-lpthread'],
      'cflags': ['-Wno-array-bounds', '-Wno-stringop-overflow', '-Wno-stringop-overread'],
    },
    {
      'target_name': 'bench_conns', 'type': 'executable', 'dependencies': ['headgate_engine'],
      'sources': ['native-bindings/bench/conns.cc', 'native-bindings/bench/conns_table.cc'], 'libraries': ['-lpthread'],
    },
    {
      # rte_acl_peer.cc is not part of it: scripts/bench builds that as a library of its own, where DPDK is.
      'target_name': 'bench_classify', 'type': 'executable', 'dependencies': ['headgate_engine'],
      'sources': [
        'native-bindings/bench/linear.cc', 'native-bindings/bench/lookup_reader.cc', 'native-bindings/bench/rte_acl.cc',
        'native-bindings/bench/rule_table.cc', 'native-bindings/bench/tuples.cc',
        '<!@(ls native-bindings/bench/classify*.cc)',
      ],
      'libraries': ['-lpthread', '-ldl'],
    },
    # Only of use in the sanitized build (--debug): native-bindings/fuzz/fuzz.h says how to run them.
    {
      'target_name': 'fuzz_parse', 'type': 'executable', 'dependencies': ['headgate_engine'],
      'sources': ['native-bindings/fuzz/parse_fuzz.cc', 'native-bindings/fuzz/mutate.cc'], 'libraries': ['-lpthread'],
      'cflags': ['-O1', '-Wno-array-bounds', '-Wno-stringop-overflow', '-Wno-stringop-overread'],
    },
    {
      'target_name': 'fuzz_delta', 'type': 'executable', 'dependencies': ['headgate_engine'],
      'sources': ['native-bindings/fuzz/delta_fuzz.cc', 'native-bindings/fuzz/mutate.cc'], 'libraries': ['-lpthread'],
    },
    {
      'target_name': 'fuzz_tunnel', 'type': 'executable', 'dependencies': ['headgate_engine'],
      'sources': ['native-bindings/fuzz/tunnel_fuzz.cc', 'native-bindings/fuzz/mutate.cc'], 'libraries': ['-lpthread'],
      'cflags': ['-O1', '-Wno-array-bounds', '-Wno-stringop-overflow', '-Wno-stringop-overread'],
    },
    {'target_name': 'tcp_verdicts', 'type': 'executable', 'dependencies': ['headgate_engine'], 'sources': ['native-bindings/bench/tcp_verdicts.cc']},
    {'target_name': 'udp_blast', 'type': 'executable', 'sources': ['native-bindings/bench/udp_blast.cc'], 'libraries': ['-lpthread']},
    {'target_name': 'syn_flood', 'type': 'executable', 'sources': ['native-bindings/bench/syn_flood.cc'], 'libraries': ['-lpthread']},
    {'target_name': 'tcp_connect', 'type': 'executable', 'sources': ['native-bindings/bench/tcp_connect.cc'], 'libraries': ['-lpthread']},
    {'target_name': 'standing_flows', 'type': 'executable', 'sources': ['native-bindings/bench/standing_flows.cc']},
    {'target_name': 'sequence_probe', 'type': 'executable', 'sources': ['native-bindings/bench/sequence_probe.cc']},
    {'target_name': 'latency', 'type': 'executable', 'sources': ['native-bindings/bench/latency.cc'], 'libraries': ['-lpthread']},
  ],
}
