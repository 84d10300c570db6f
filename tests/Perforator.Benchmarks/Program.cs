using BenchmarkDotNet.Running;
using Perforator.Benchmarks;

if (args is ["recorder", ..])
    return RecorderMeasurement.Run(args[1..]);
BenchmarkSwitcher.FromAssembly(typeof(Program).Assembly).Run(args);
return 0;
