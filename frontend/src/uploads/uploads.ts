// The page's one store of uploads.

import { hash } from "./hash";
import { UploadStore } from "./store";
import { transport } from "./transport";

export const uploads = new UploadStore({ transport, hash });
