using BenchmarkDotNet.Running;
using Perforator.Benchmarks;

// The eng/bench scripts call the first ones; everything else is BenchmarkDotNet's.
if (args is ["recorder", ..])
    return RecorderMeasurement.Run(args[1..]);
if (args is ["inputs", ..])
    return InputsMeasurement.Run(args[1..]);
if (args is ["compare-generate", string cli, string rounds, string large, string quarter, .. string[] programs])
    return GeneratorComparison.Run(cli, int.Parse(rounds), large, quarter, programs);
if (args is ["fleet", string hours, .. string[] command])
    return await FleetSimulation.RunAsync(int.Parse(hours), command);
if (args is ["service", string name, string seconds, string uploads, string served, string binary, .. string[] options])
    return await ServiceMeasurement.RunAsync(name, int.Parse(seconds), int.Parse(uploads), served, binary, options);
if (args is ["page", string page, string folder, string many])
    return await PageMeasurement.RunAsync(page, folder, many);
if (args is ["aggregate", ..])
    return AggregationRate.Run();
BenchmarkSwitcher.FromAssembly(typeof(Program).Assembly).Run(args);
return 0;
