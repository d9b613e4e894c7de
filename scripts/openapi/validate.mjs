// Validates an OpenAPI document with swagger-parser: its structure, its references, and its path parameters.
import SwaggerParser from '@apidevtools/swagger-parser';

const path = process.argv[2];
try {
    const { info } = await SwaggerParser.validate(path, { resolve: { external: false } });
    console.log(`${path}: ${info.title} ${info.version} is valid`);
} catch (error) {
    console.error(`${path}: ${error.message}`);
    process.exitCode = 1;
}
