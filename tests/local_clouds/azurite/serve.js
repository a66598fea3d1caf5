// Azurite's Blob service until standard input closes, so that it cannot outlive who started it with a pipe.
process.stdin.on("end", () => process.exit(0));
process.stdin.resume();
require("azurite/dist/src/blob/main");
