// Validates manifests, one JSON object after the other on stdin as kubectl prints them, against the schemas of kubernetes-models:
// node validate-manifests.mjs FOLDER, where FOLDER has its node_modules. Prints a line for each fault, and how many there were to look at.
import { readFileSync } from "node:fs";

const manifests = readFileSync(0, "utf8").trim().split(/(?<=^})\n(?={)/m).map((text) => JSON.parse(text));
for (const manifest of manifests) {
  try {
    const models = await import(`file://${process.argv[2]}/node_modules/kubernetes-models/${manifest.apiVersion}/${manifest.kind}.js`);
    new models[manifest.kind](manifest).validate();
  } catch (e) {
    console.log(`${manifest.kind} ${manifest.metadata.name}: ${e.message}`);
  }
}
console.log(`${manifests.length} manifests`);
