// Validates an AsyncAPI document, and prints each fault in it. Usage: node validate.js FILE
import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";

const ERROR = 0;
const diagnostics = await new Parser().validate(readFileSync(process.argv[2], "utf8"));
const faults = diagnostics.filter((each) => each.severity === ERROR);
for (const each of faults) console.log(each.path.join("."), each.message);
process.exit(faults.length ? 1 : 0);
