// Loaded before Azurite. Its telemetry is off; loading the SDK for it would take more than half of Azurite's start.
const Module = require("module");

const load = Module._load;
Module._load = (name, ...rest) => (name === "applicationinsights" ? {} : load(name, ...rest));
